"""Deployment: `[deploy]` for Argo Workflows and Step Functions, manifests, notifications."""
