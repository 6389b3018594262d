"""ePoxy: the registry of hosts that may boot, and (beside it, later) the boot protocol itself."""
