"""Files that are whole or absent: write beside the target, then rename.

JSON carries a checksum of its content, so that a damaged file is an error and never another number.
"""

import json
import shlex
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmark import paths
from benchmark.errors import UserError
from benchmark.machine.room import writing

CHECKSUM = "crc32"
"""Key of the checksum in a JSON object; `read_json` takes it away."""


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it when the block ends well.

    A process killed in the block leaves no ``path`` that counts as done. The temporary name keeps
    the suffixes of ``path``, since image writers choose their format by them. Raises `MachineError`
    where the disk is full or the folder cannot be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as folder:
            temporary = Path(folder) / path.name
            yield temporary
            temporary.replace(path)


def require_writable(folder: Path) -> None:
    """Make a ``folder`` that results will be written to; a `UserError` where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UserError(
            f"Nothing can be written to {folder}: {error.strerror}. Next step: name another folder."
        ) from None


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as JSON, its keys in their order: that of methods is the order of plots."""
    if isinstance(content, dict):
        content = {**content, CHECKSUM: _checksum(content)}
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file; a `UserError` says where it is missing, broken or no more as written."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"No such file: {path}. The step that writes it has not been run."
        ) from None
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error}). {make_anew(path)}") from None
    if isinstance(content, dict) and CHECKSUM in content:
        told = content.pop(CHECKSUM)
        if told != _checksum(content):
            raise UserError(
                f"{path} is not as it was written: it was edited, or the disk has damaged it. "
                f"{make_anew(path)}"
            )
    return content


def make_anew(path: Path) -> str:
    """Tell what to do about a damaged file: those of the workflow are made again."""
    made = (Path(folder).absolute() for folder in (paths.DATA, paths.RESULTS))
    if not any(path.absolute().is_relative_to(folder) for folder in made):
        return "Mend the file, or name another."
    return f"Delete it, and the next run makes it anew: rm {shlex.quote(str(path))}"


def _checksum(content: Any) -> str:
    return f"{zlib.crc32(json.dumps(content).encode()):08x}"
