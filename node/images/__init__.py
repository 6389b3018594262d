"""Builds what a node boots and what it runs: kernel and initramfs, full root, boot media, container images."""
