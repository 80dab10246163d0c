"""Files that are whole or absent: write beside the target, then rename."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmark.errors import UserError


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it when the block ends well.

    A process killed in the block leaves no ``path`` that counts as done. The temporary name keeps
    the suffixes of ``path``, since image writers choose their format by them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as folder:
        temporary = Path(folder) / path.name
        yield temporary
        temporary.replace(path)


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as JSON, its keys in their order: that of methods is the order of plots."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file; a `UserError` says where it is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"No such file: {path}. The step that writes it has not been run."
        ) from None
    except ValueError as error:
        raise UserError(
            f"{path} is not valid JSON ({error}). Delete it; the next run makes it anew."
        ) from None
