"""Separate the keys of a source that determine its files from those that only inform or check."""

from typing import Any

_NOTES = ("about_gb", "page", "steps", "holds")


def without_notes(content: Any) -> Any:
    """Return the content of a source, or of its parts, without keys that inform or check."""
    if isinstance(content, dict):
        return {key: without_notes(value) for key, value in content.items() if key not in _NOTES}
    if isinstance(content, list | tuple):
        return [without_notes(value) for value in content]
    return content
