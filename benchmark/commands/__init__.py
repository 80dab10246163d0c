"""Commands of the command line, a file a group; `benchmark.cli` puts them together."""
