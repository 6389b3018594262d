"""pusher: every closed file reaches the archive in exactly one bundle, and is deleted only then."""
