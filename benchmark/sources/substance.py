"""What of a source decides over the files that it gives, and what is only told to people."""

from typing import Any

_TOLD = ("about_gb", "page", "steps")


def substance(content: Any) -> Any:
    """The content of a source, or of its parts, without what is only told."""
    if isinstance(content, dict):
        return {key: substance(value) for key, value in content.items() if key not in _TOLD}
    if isinstance(content, list | tuple):
        return [substance(value) for value in content]
    return content
