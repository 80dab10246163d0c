"""Commands of the command line, one file per group; `benchmark.cli` combines them."""
