"""Accounts for every file of a spool: where it is now, how often it is in the archive, and whether any is lost."""
