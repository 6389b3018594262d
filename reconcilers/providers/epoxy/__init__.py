"""Host records, through the administration API of the boot server."""
