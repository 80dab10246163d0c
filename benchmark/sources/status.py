"""Result of a fetch."""

from pathlib import Path
from typing import Literal, Self

from benchmark.settings import Settings, load_yaml

State = Literal["ready", "manual", "failed"]


class Status(Settings):
    """Content of ``status.json``; a fetch always writes one and never fails the workflow.

    ``root`` is the folder in which the patterns of the layout are looked up. ``fingerprint``
    identifies what was available, so that the file changes with it. ``reason`` says what is missing
    and what to do next.
    """

    state: State
    root: str
    fingerprint: str
    files: int = 0
    reason: str | None = None

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a status file; keys that only a subclass or an older version writes are ignored."""
        content = load_yaml(path)
        if isinstance(content, dict):
            content = {key: value for key, value in content.items() if key in cls.model_fields}
        return cls.read(content, str(path))

    @property
    def is_ready(self) -> bool:
        """Whether all files are there."""
        return self.state == "ready"

    @property
    def summary(self) -> str:
        """State and reason as text."""
        return f"{self.state}: {self.reason}"
