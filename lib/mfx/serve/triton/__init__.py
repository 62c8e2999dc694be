"""Serve the same versions by NVIDIA's Triton."""
