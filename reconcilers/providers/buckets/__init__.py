"""Buckets, who may use them, and the objects that are published in them."""
