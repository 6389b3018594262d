"""Records the kernel's statistics of every TCP connection of a network namespace, one file each."""
