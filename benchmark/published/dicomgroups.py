"""What DICOM tells of the frames of a file, each by itself or all at once."""

from typing import Any


def functional_group(own: Any, shared: Any, name: str) -> Any:
    """What is told of a frame, by the frame itself or for all of them."""
    return (own if name in own else shared)[name].value[0]
