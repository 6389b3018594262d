"""Files of Prometheus and Alertmanager, checked before and proved from the running servers after."""
