"""Functional groups of multi-frame DICOM files."""

from typing import Any


def functional_group(own: Any, shared: Any, name: str) -> Any:
    """Return the item of a functional group: the frame's own or, if it has none, the shared one."""
    return (own if name in own else shared)[name].value[0]
