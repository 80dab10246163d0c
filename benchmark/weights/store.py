"""Weights on disk: downloaded or placed by hand, checked by hash at each use, converted once.

The folder of an entry contains ``files/``, ``status.json`` (result of the fetch), ``listing.json``
(state of the files at that time), ``recorded.json`` (hashes recorded at first use, where none is
published) and ``converted/``.
"""

import importlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmark.errors import UserError, unknown_name
from benchmark.sources import Status, folder
from benchmark.sources.checks import give_receipt, hashes_of, sha256_of
from benchmark.sources.local import LocalSource
from benchmark.sources.packaged import PackagedSource
from benchmark.sources.raw_folder import RawFolder
from benchmark.storage import paths
from benchmark.storage.digest import digest
from benchmark.storage.files import atomic, read_json, write_json
from benchmark.weights import registry
from benchmark.weights.registry import Weights

_ON_THIS_DISK = (LocalSource, PackagedSource)
"""Kinds of source that are used where they lie, without a download."""


class WeightsStatus(Status):
    """Result of fetching weights.

    ``file`` is the only file below ``root``, or None for a folder of several. ``sha256`` holds the
    hash of each file as it is on this disk.
    """

    file: str | None = None
    sha256: dict[str, str] = {}


def fingerprint(entry: Weights, raw: Path) -> str:
    """Return a fingerprint of the available files, so that the workflow notices files added later.

    Files that a fetch has brought do not change it: unless something else changed, the value is
    that from before the fetch. Nor do lost files, as in `benchmark.sources.lost`.
    """
    here, path = _listing(entry, raw), raw / "listing.json"
    if (raw / "status.json").is_file():
        status = WeightsStatus.load(raw / "status.json")
        same = path.is_file() and read_json(path) == here
        if status.is_ready and (same or files_are_lost(entry, raw)):
            return status.fingerprint
    others = (source for source in entry.source if not isinstance(source, _ON_THIS_DISK))
    return digest([here, *(source.fingerprint(raw) for source in others)])


def files_are_lost(entry: Weights, raw: Path) -> bool:
    """Return whether none of the possible folders holds all files."""
    return all(_absent(entry, root) for root in _roots(entry, raw))


def fetch(entry: Weights, raw: Path, name: str | None = None) -> WeightsStatus:
    """Find the files, placed by hand or from the entry's sources in order, and check them.

    Does not raise for missing or wrong files: the status gives the reason and the command to run.
    The command names the entry by ``name``, under which it was loaded (by default its id). The
    fingerprint stays as it was if the files are identical to those of the last fetch.
    """
    path, reasons = raw / "status.json", []
    before, last = fingerprint(entry, raw), WeightsStatus.load(path) if path.is_file() else None
    for root, reason in _found(entry, raw):
        wrong, hashes = (reason, {}) if reason else _checked(entry, root, raw)
        if wrong is None:
            same = last and last.is_ready and last.sha256 == hashes
            return WeightsStatus(
                state="ready",
                root=str(root),
                fingerprint=last.fingerprint if last and same else before,
                files=len(entry.files),
                file=entry.file,
                sha256=hashes,
            )
        reasons.append(wrong)
    by_hand = all(source.kind == "manual" for source in entry.source)
    return WeightsStatus(
        state="manual" if by_hand else "failed",
        root=str(raw / "files"),
        fingerprint=before,
        file=entry.file,
        reason=f"{' '.join(dict.fromkeys(reasons))} To get them: {fetch_command(entry, name)}",
    )


def verify(entry: Weights, raw: Path, name: str | None = None) -> dict[str, str]:
    """Check the files on this machine, without a download; return the sha256 of each by its path.

    ``name`` is as in `fetch`. Raises `UserError` for missing or wrong files.
    """
    wrong, hashes = _checked(entry, _root(entry, raw), raw)
    if wrong is not None:
        raise UserError(f"{entry.id}: {wrong} To get them: {fetch_command(entry, name)}")
    return hashes


def write_status(status: WeightsStatus, entry: Weights, raw: Path) -> None:
    """Write the ``status.json`` of a `fetch`, and a listing of the files in a file beside it.

    The listing is separate because a repeated download changes the times of the files, while the
    status has to stay the same.
    """
    write_json(raw / "status.json", status.model_dump())
    write_json(raw / "listing.json", _listing(entry, raw))


def path_for_adapter(status: WeightsStatus, raw: Path, name: str) -> Path | None:
    """Return what an adapter is given: the file, or the folder of several.

    Converted files take precedence, if they were made from these very files as the entry says.
    Returns None if the fetch failed. ``name`` is that under which the entry was loaded. Raises
    `UserError`, with the command that gets them again, if the files have been lost, and with the
    one that converts them again if converted ones have changed.
    """
    if not status.is_ready:
        return None
    root, made = Path(status.root), raw / "converted"
    files = [root / file for file in status.sha256]
    record = made / "from.json"
    converted = read_json(record) if record.is_file() else {}
    if converted and converted.get("origin") == _origin(status.sha256, registry.load(name)):
        root, files = made, [made / file for file in converted["sha256"]]
    for path in files:
        if not path.is_file():
            raise UserError(
                f"The weights {name!r} were here but are no longer: no file {path}. What was "
                f"made with them stays. To get them again: "
                f"{fetch_command(registry.load(name), name)}"
            )
        if (
            root == made
            and sha256_of(path) != converted["sha256"][path.relative_to(made).as_posix()]
        ):
            raise UserError(
                f"{path} is not as it was converted: it was edited, or the disk has damaged it. "
                f"Convert it again: pambench weights convert {name}"
            )
    return files[0] if status.file else root


def locate(name: str, *, download: bool) -> tuple[Path, Weights | None]:
    """Return what an adapter is given for weights, and their entry, None if they are just a file.

    ``name`` is the id of an entry, its YAML file, or else a file or folder of weights. Raises
    `UserError`, with the command that gets them, if the weights are not here and, if they may be
    ``download``ed, cannot be had.
    """
    if not name.endswith((".yaml", ".yml")) and name not in registry.names():
        if Path(name).exists():
            return Path(name), None
        nearest = unknown_name("weights", name, registry.names())
        raise UserError(f"There is no file {name} here. {nearest}")
    entry = registry.load(name)
    raw = paths.weights_folder(entry.id)
    last, status = raw / "status.json", None
    if download or all(isinstance(source, _ON_THIS_DISK) for source in entry.source):
        status = fetch(entry, raw, name)
    elif last.is_file():
        status = WeightsStatus.load(last)
    path = path_for_adapter(status, raw, name) if status else None
    if path is None:
        why = (status and status.reason) or f"To get them: {fetch_command(entry, name)}"
        raise UserError(f"The weights {name!r} are not on this machine. {why}")
    return path, entry


def fetch_command(entry: Weights, name: str | None = None) -> str:
    """Return the command that gets the weights; the entry was loaded under ``name``."""
    fetch = f"pambench weights fetch {name or entry.id}"
    if all(source.kind in ("manual", "local") for source in entry.source):
        return f"{fetch} --from DOWNLOADED"
    return f"{fetch} (or, where the download is refused, {fetch} --from DOWNLOADED)"


def import_files(entry: Weights, given: Path, raw: Path) -> None:
    """Copy a downloaded file, or a folder of several, to its place.

    Raises `UserError` for a missing file or one that differs from the published one; the latter is
    not copied.
    """
    for file in entry.files:
        path = given / file.path if given.is_dir() else given
        if not path.is_file() or (given.is_file() and len(entry.files) > 1):
            names = ", ".join(f.path for f in entry.files)
            raise UserError(
                f"{path} was not taken for {entry.id}. Expected the file, or a folder that holds "
                f"{names}. Next step: name the file or folder that was downloaded."
            )
        wrong, _ = file.expected.check(path)
        if wrong is not None:
            raise UserError(
                f"{path} is not as published: {wrong}. It was not taken; download it again from "
                f"{entry.homepage}."
            )
        with atomic(raw / "files" / file.path) as temporary:
            shutil.copyfile(path, temporary)


def convert(entry: Weights, raw: Path, name: str | None = None) -> list[Path]:
    """Convert the files to safetensors by the converter of the entry; return the new paths.

    ``name`` and errors are as in `verify`. Raises `UserError` also for a file without a converter.
    """
    hashes, root, made = verify(entry, raw, name), _root(entry, raw), {}
    record = raw / "converted" / "from.json"
    record.unlink(missing_ok=True)  # of files that are about to be replaced
    for file in entry.files:
        if file.convert is None:
            raise UserError(
                f"{entry.id}: no converter for {file.path}. Expected the key files.convert in the "
                "entry; a file that is safetensors already needs none."
            )
        target = raw / "converted" / Path(file.path).with_suffix(".safetensors")
        target.parent.mkdir(parents=True, exist_ok=True)
        _function(file.convert.function)(root / file.path, target, **file.convert.arguments)
        made[target] = hashes_of(target, ["sha256"])
        give_receipt(target, target, made[target])
    sha256 = {
        path.relative_to(record.parent).as_posix(): got["sha256"] for path, got in made.items()
    }
    write_json(record, {"origin": _origin(hashes, entry), "sha256": sha256})
    return list(made)


def _origin(hashes: dict[str, str], entry: Weights) -> dict[str, Any]:
    """Return what converted files depend on: the hashes of the published ones, and converters."""
    converters = [file.convert and file.convert.model_dump(mode="json") for file in entry.files]
    return {"sha256": hashes, "convert": converters}


def _root(entry: Weights, raw: Path) -> Path:
    """Return the folder of the files: that of the fetch, else the first that holds all of them."""
    if (raw / "status.json").is_file():
        status = WeightsStatus.load(raw / "status.json")
        if status.is_ready:
            return Path(status.root)
    roots = _roots(entry, raw)
    return next((root for root in roots if _absent(entry, root) is None), roots[0])


def _roots(entry: Weights, raw: Path) -> list[Path]:
    """Return the folders that may hold the files, first the one for downloads."""
    here = (source for source in entry.source if isinstance(source, _ON_THIS_DISK))
    return [raw / "files", *(source.root for source in here)]


def _found(entry: Weights, raw: Path) -> Iterator[tuple[Path, str | None]]:
    """Yield each folder to look at, and why it is unusable or None; existing files come first."""
    by_hand = raw / "files"
    if _absent(entry, by_hand) is None:
        yield by_hand, None
        own = RawFolder(raw).user_files
        if any(by_hand / file.path in own for file in entry.files):
            return  # a download would not replace a wrong file that is there
    for source in entry.source:
        status = source.fetch(raw)
        yield Path(status.root), status.reason if not status.is_ready else None


def _absent(entry: Weights, root: Path) -> str | None:
    missing = [file.path for file in entry.files if not (root / file.path).is_file()]
    return f"Missing below {root}: {', '.join(missing)}." if missing else None


def _checked(entry: Weights, root: Path, raw: Path) -> tuple[str | None, dict[str, str]]:
    """Read each file once; return what is wrong, or None, and the sha256 of each file by its path.

    A file is wrong if it is missing or differs from the published hash or, where there is none,
    from the hash recorded at first use.
    """
    if (missing := _absent(entry, root)) is not None:
        return missing, {}
    book = raw / "recorded.json"
    recorded: dict[str, str] = read_json(book) if book.is_file() else {}
    found = {}
    for file in entry.files:
        path = (root / file.path).resolve()  # name the file itself in messages, not a link to it
        wrong, hashes = file.expected.check(path)
        if wrong is not None:
            advice = (
                "It ships with the project: install that again."
                if any(isinstance(s, PackagedSource) and s.root == root for s in entry.source)
                else "The download was broken, or it is another file. Delete it and get it again."
            )
            return f"{path} is not as published: {wrong}. {advice}", {}
        got = found[file.path] = hashes["sha256"]
        if file.sha256 is None and recorded.setdefault(file.path, got) != got:
            return (
                f"{path} has the sha256 {got}, expected {recorded[file.path]} as when it was "
                f"first used. If the new one is meant, delete {book}."
            ), {}
    if recorded and not (book.is_file() and read_json(book) == recorded):
        write_json(book, recorded)
    return None, found


def _listing(entry: Weights, raw: Path) -> str:
    """Return a fingerprint of the entry's files, ignoring others beside them."""
    names = [file.path for file in entry.files]
    here = (source for source in entry.source if isinstance(source, _ON_THIS_DISK))
    found = [source.fingerprint(raw, only=names) for source in here]
    return digest([*found, folder.fingerprint(raw / "files", only=names)])


def _function(name: str) -> Callable[..., Any]:
    module, _, attribute = name.partition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UserError(f"The converter {name} cannot be imported ({error}).") from error
    return found
