"""Versions of the stages; increase one when a stage gives other results for the same input.

They are part of the digests or of the params of the rules, so that results of an older version are
not reused. The default memory of jobs is here too.
"""

PREPARE = 6
PROMPTS = 2
SPLIT = 2
FIT = 1
PREDICT = 1
SCORE = 5

MEMORY_MB = 4000
"""Memory that a job requests unless its rule sets another value, in MiB."""
