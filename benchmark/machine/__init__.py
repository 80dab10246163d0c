"""What depends on the machine: GPUs and their precision, locks, memory, lines of progress."""
