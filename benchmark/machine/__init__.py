"""What the machine has to share: GPUs, locks, memory, and lines of progress."""
