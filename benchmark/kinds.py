"""The kinds of prompt that study files name; `benchmark.prompts` defines their content."""

from typing import Literal, get_args

Kind = Literal["box2d", "mask2d", "box3d", "structure"]
KINDS: tuple[Kind, ...] = get_args(Kind)
