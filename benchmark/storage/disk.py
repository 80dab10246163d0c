"""Whether files can be written: free disk space and permissions, and what to do if not."""

import errno
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmark.errors import MachineError, UserError

LEAST = 1 << 20
"""Bytes that must be free for a run to start."""

_DISK = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your quota of the disk is used up",
    errno.EROFS: "the file system is read-only",
}
_FULL = re.compile(
    # not a warning, nor a read-only file system: programs in a container often go on after these
    r"(?<!Warning: )\[Errno (28|122)\]|(?<!Warning: \[Errno 28\] )No space left on device"
    r"|Disk quota exceeded"
    r"|inline_container\.cc.*unexpected pos"  # torch.save on a full disk
)
_RIGHTS = {
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an error of the machine while ``path`` is written into a `MachineError`."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if why := _why(error, path.parent):
            raise MachineError(_message(f"{path} was not written", why, path.parent)) from error
        raise


def raise_if_disk_full(error: BaseException) -> None:
    """Raise `MachineError` if ``error`` is one, or comes from a full or read-only disk.

    Errors of libraries and of programs in other environments are recognised by their messages.
    """
    if isinstance(error, MachineError):
        raise error
    if isinstance(error, OSError) and error.errno in _DISK:
        place = Path(error.filename).parent if error.filename else Path()
        raise MachineError(_message("A file was not written", _DISK[error.errno], place)) from error
    if _FULL.search(text := " ".join(str(error).split())):
        raise MachineError(
            f"A file was not written because the disk is full ({text}). Completed work is kept. "
            "Make room where the program writes, then run the same command again."
        ) from error


def write_problem(folders: Iterable[Path]) -> str | None:
    """Return why one of ``folders`` cannot be written to, else None; missing ones are skipped."""
    for folder in folders:
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(bytes(LEAST))
        except FileNotFoundError:
            continue
        except OSError as error:
            why = _why(error, folder) or str(error)
            return _message(f"Nothing can be written to {folder.absolute()}", why, folder)
    return None


def require_writable_folders(folders: Iterable[Path]) -> None:
    """Raise `MachineError` if one of ``folders`` cannot be written to; missing ones are skipped."""
    if problem := write_problem(folders):
        raise MachineError(problem)


def _why(error: Exception, folder: Path) -> str | None:
    number = error.errno if isinstance(error, OSError) else None
    if number is None:  # libraries raise their own errors for a full disk
        full = folder.is_dir() and shutil.disk_usage(folder).free == 0
        return f"the disk is full ({error})" if full else None
    about = Path(getattr(error, "filename", None) or folder).absolute()
    if number in _RIGHTS and about.is_relative_to(folder.absolute()):
        return _RIGHTS[number]
    return _DISK.get(number)


def _message(what: str, why: str, folder: Path) -> str:
    return (
        f"{what}: {why}. Completed work is kept. Free space in {folder.absolute()} or make it "
        "writable, then run the same command again."
    )
