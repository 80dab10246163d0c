"""``python -m benchmark`` is ``pambench``."""

from benchmark.cli import main

main()
