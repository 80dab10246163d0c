"""What depends on the machine: GPUs, precision, locks, memory, disk space, progress lines."""
