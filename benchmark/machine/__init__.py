"""What depends on the machine: GPUs, precision, locks, memory, progress lines."""
