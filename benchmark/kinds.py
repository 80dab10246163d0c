"""The kinds of prompt, which study files name; `benchmark.prompts` has what each holds."""

from typing import Literal, get_args

Kind = Literal["box2d", "mask2d", "box3d", "structure"]
KINDS: tuple[Kind, ...] = get_args(Kind)
