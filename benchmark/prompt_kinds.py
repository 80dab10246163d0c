"""The kinds of prompt that study files name; `benchmark.prompts` defines their content."""

from typing import Literal, get_args

PromptKind = Literal["box2d", "mask2d", "box3d", "structure"]
PROMPT_KINDS: tuple[PromptKind, ...] = get_args(PromptKind)
