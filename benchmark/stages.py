"""Versions of the stages: raise one when a stage gives other results for the same input.

They are part of the digests or params of the rules, so that results of an older version are not
taken for new ones. The memory that their jobs claim is here too.
"""

PREPARE = 4
PROMPTS = 2
SPLIT = 2
FIT = 1
PREDICT = 1
SCORE = 3

MEMORY_MB = 4000
"""What a job claims if its rule asks for no more."""
