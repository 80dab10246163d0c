"""Result of a fetch."""

from typing import Literal

from benchmark.settings import Settings


class Status(Settings):
    """Content of ``status.json``; a fetch always writes one and never fails the workflow.

    ``root`` is the folder in which the patterns of the layout are looked up. ``fingerprint`` tells
    what was available, so that the file changes with it. ``reason`` says what is missing and what
    to do next.
    """

    state: Literal["ready", "manual", "failed"]
    root: str
    fingerprint: str
    files: int = 0
    reason: str | None = None
