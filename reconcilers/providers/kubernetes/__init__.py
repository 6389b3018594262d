"""Kubernetes by server-side apply: what is live, what is ours, in which order it is written, whether it is healthy."""
