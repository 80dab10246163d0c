"""Read and write files that are whole or absent: write beside the target, flush, then rename.

JSON objects carry a checksum, so that a damaged file raises an error instead of giving a wrong
number.
"""

import json
import os
import shlex
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmark.errors import UserError
from benchmark.storage import paths
from benchmark.storage.disk import writing

CHECKSUM = "crc32"
"""Key of the checksum in a JSON object; `read_json` removes it."""


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path that replaces ``path`` when the block ends without an error.

    A process that is killed in the block never leaves a partial ``path``, nor does a power cut. The
    temporary name keeps the suffixes of ``path``, because image writers choose the format by them.
    Raises `MachineError` if the disk is full or the folder is not writable.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as folder:
            temporary = Path(folder) / path.name
            yield temporary
            with temporary.open("rb") as file:  # else a file system may rename before it writes
                os.fsync(file.fileno())
            temporary.replace(path)


def require_writable(folder: Path) -> None:
    """Create ``folder`` if needed; raise `UserError` if it cannot be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UserError(
            f"Nothing can be written to {folder}: {error.strerror}. Next step: name another folder."
        ) from None


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as JSON, with a checksum if it is an object.

    Keys keep their order, because the order of the methods is that of the plots.
    """
    if isinstance(content, dict):
        content = {**content, CHECKSUM: _checksum(content)}
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_json(path: Path, *, unique_keys: bool = False) -> Any:
    """Read a JSON file; raise `UserError` if it is missing, invalid or not as it was written.

    ``unique_keys`` refuses a key that occurs twice, of which JSON keeps the last.
    """
    hook = _unique if unique_keys else None
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=hook)
    except FileNotFoundError:
        raise UserError(
            f"No such file: {path}. The step that writes it has not been run."
        ) from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({error}). {recovery_hint(path)}") from None
    if isinstance(content, dict) and CHECKSUM in content:
        recorded = content.pop(CHECKSUM)
        if recorded != _checksum(content):
            raise UserError(
                f"{path} is not as it was written: it was edited, or the disk has damaged it. "
                f"{recovery_hint(path)}"
            )
    return content


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise ValueError(f"the key {key!r} occurs twice")
        made[key] = value
    return made


def recovery_hint(path: Path) -> str:
    """Return advice on a damaged file: to delete it if the workflow made it, else to repair it."""
    made = (Path(folder).absolute() for folder in (paths.DATA, paths.RESULTS))
    if not any(path.absolute().is_relative_to(folder) for folder in made):
        return "Repair the file, or name another."
    return f"Delete it, and the next run makes it again: rm {shlex.quote(str(path))}"


def _checksum(content: Any) -> str:
    return f"{zlib.crc32(json.dumps(content).encode()):08x}"
