"""The same versions behind NVIDIA's Triton."""
