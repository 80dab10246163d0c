"""How a fetch ended."""

from typing import Literal

from benchmark.settings import Settings


class Status(Settings):
    """Content of ``status.json``: a fetch always ends in one and never fails the workflow.

    ``root``: the folder below which the layout's patterns are looked up. ``fingerprint``: what was
    at hand (so that the file changes when that changes). ``reason``: what is missing and the step
    that a person takes next.
    """

    state: Literal["ready", "manual", "failed"]
    root: str
    fingerprint: str
    files: int = 0
    reason: str | None = None
