"""Prometheus and Alertmanager: what is rendered for them, and how it gets there."""
