"""Argo Workflows, Step Functions and servers: what `[deploy]` means, manifests, notifications."""
