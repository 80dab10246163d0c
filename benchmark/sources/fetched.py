"""Base class of the sources whose files are fetched, checked, unpacked and laid out."""

import sys
import traceback
from abc import abstractmethod
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import Field

from benchmark.errors import UserError
from benchmark.settings import Settings
from benchmark.sources import folder, inventory, lost
from benchmark.sources.archives import ArchiveError, DamagedArchiveError, PasswordError, unpack
from benchmark.sources.checks import sha256_of
from benchmark.sources.download import locked
from benchmark.sources.files import File
from benchmark.sources.identity import without_notes
from benchmark.sources.patience import Patience
from benchmark.sources.raw_folder import (
    FetchedFile,
    ManualStepError,
    RawFolder,
    is_unpacked,
    unpacked_to,
)
from benchmark.sources.secrets import redacted, token
from benchmark.sources.status import State, Status
from benchmark.sources.tree import Tree, insert, make_links
from benchmark.storage.digest import digest
from benchmark.storage.files import read_json, write_json


class FetchedSource(Settings):
    """A source whose files are fetched.

    ``about_gb`` is the total size in GB (10^9 bytes) where exact sizes are not known.
    """

    about_gb: float | None = Field(default=None, gt=0)

    @abstractmethod
    def gather(self, place: RawFolder) -> Iterable[FetchedFile]:
        """Get the files and return where they are.

        Raises `ManualStepError` for steps that a person has to take, and `UserError` for failures.
        """

    def size(self) -> tuple[float, bool]:
        """Return the size in bytes as far as the entry gives it, and whether it is complete."""
        if self.about_gb is not None:
            return self.about_gb * 1e9, True
        sizes = [file.size for file in self.listed_files]
        return float(sum(filter(None, sizes))), bool(sizes) and all(sizes)

    @property
    def listed_files(self) -> tuple[File, ...]:
        """The files that the entry names."""
        return tuple(getattr(self, "files", ()))

    def manual_steps(self, place: RawFolder) -> list[str]:
        """Return the steps that a person has to take before the fetch; empty if there are none."""
        return [
            f"ask for the password of the archive, and export it as {variable}"
            for variable in self._password_variables
            if token(variable) is None
        ]

    @property
    def _password_variables(self) -> list[str]:
        named = (file.password_variable for file in self.listed_files)
        return list(dict.fromkeys(variable for variable in named if variable))

    def local_state(self, place: RawFolder) -> str:
        """Describe what the fetch depends on besides the network: tokens, the user's own files."""
        return "remote"

    def files_in(self, raw: Path) -> Path:
        """Return the folder of links to the fetched files; it also holds files placed by hand."""
        return RawFolder(raw).files

    def fingerprint(self, raw: Path) -> str:
        """Return a fingerprint of what is available.

        It changes after a failed fetch that is worth repeating, so that the workflow runs it again.
        """
        last = self._last(raw)
        if self.is_complete(raw):
            return str(last["fingerprint"])
        passwords = [f", {name}" for name in self._password_variables if token(name)]
        again = f", again {last['tries']}" if last.get("again") else ""
        return f"{self.local_state(RawFolder(raw))}{''.join(passwords)}{again}"

    def is_complete(self, raw: Path) -> bool:
        """Return whether everything was fetched, and nothing was lost or changed by hand since."""
        place, last = RawFolder(raw), self._last(raw)
        return (
            bool(last.get("ready"))
            and last["hand"] == place.user_files_fingerprint
            and place.links_are_intact
        )

    def fetch(self, raw: Path, patience: Patience | None = None) -> Status:
        """Get the files, unpack them and link them below ``<raw>/files``.

        Does not raise: a failure ends in the status. No server is asked if all files are there,
        intact and from this source. Files that were lost and are fetched again unchanged do not
        change the fingerprint.
        """
        place = RawFolder(raw, patience or Patience())
        before, tries = lost.fingerprint_or_last(self, raw), self._last(raw).get("tries", 0) + 1
        state: State = "ready"
        reason, again = "", True
        others = _memory(raw)
        try:
            with locked(raw / "fetch"):
                if not (self.is_complete(raw) and inventory.is_unchanged(place)):
                    now, known = self.fingerprint(raw), inventory.read(place)
                    gathered = list(self.gather(place))
                    tree = lay_out(gathered)
                    # links of another source of the weights, or of the entry before it was changed,
                    # are removed
                    others = {key: {**last, "ready": False} for key, last in others.items()}
                    make_links(tree, place.files, place.links)
                    inventory.write(place, gathered)
                    if inventory.read(place) != known:
                        before = now
        except ManualStepError as error:
            state, reason, again = "manual", str(error), error.again
        except UserError as error:
            state, reason = "failed", str(error)
        except Exception as error:  # the workflow goes on without this dataset
            state, reason = "failed", f"{type(error).__name__}: {error}"
            print(redacted(traceback.format_exc()), file=sys.stderr)
        memory = {
            "ready": state == "ready",
            "again": again,
            "tries": tries,
            "fingerprint": before,
            "hand": place.user_files_fingerprint,
        }
        write_json(raw / "fetched.json", {**others, self._key: memory})
        return Status(
            state=state,
            root=str(self.files_in(raw)),
            fingerprint=before,
            files=len(folder.listing(place.files)) if state == "ready" else 0,
            reason=redacted(reason) or None,
        )

    @property
    def _key(self) -> str:
        return digest(without_notes(self.model_dump(mode="json")))

    def _last(self, raw: Path) -> dict[str, Any]:
        return dict(_memory(raw).get(self._key, {}))


def lay_out(gathered: Iterable[FetchedFile]) -> Tree:
    """Unpack the archives; return where each file and folder goes."""
    tree: Tree = {}
    for got in gathered:
        into = PurePosixPath(got.entry.into or "")
        if not is_unpacked(got):
            insert(tree, into / got.name, got.path)
        elif got.entry.into:
            insert(tree, into, _unpack(got))
        else:
            for inner in sorted(_unpack(got).iterdir()):
                insert(tree, PurePosixPath(inner.name), inner)
    return tree


def _unpack(got: FetchedFile) -> Path:
    password, target = got.entry.password, unpacked_to(got)
    if got.entry.password_variable:
        password = token(got.entry.password_variable)
    if not got.path.exists():  # deleted to save space; the marker takes its place
        return target
    try:
        with locked(target):
            unpack(
                got.path,
                target,
                sha256=sha256_of(got.path),
                members=got.entry.members,
                password=password,
            )
        for pattern, count in got.entry.holds.items():
            if (found := sum(1 for _ in target.rglob(pattern))) != count:
                raise DamagedArchiveError(
                    f"{got.path} is not the published archive: {found} members fit {pattern!r}, "
                    f"expected {count}."
                )
        return target
    except DamagedArchiveError as error:
        if got.unpacked is not None or got.verified:  # placed by hand, or checked as published
            raise ArchiveError(f"{error} Delete it and get it again.") from None
        got.path.unlink()
        raise ArchiveError(f"{error} It was deleted, so the next run gets it again.") from None
    except PasswordError as error:
        if got.entry.password_variable is None:
            raise
        raise ManualStepError(
            f"{error} Ask for it where the data come from, then export "
            f"{got.entry.password_variable} and run again.",
            again=password is not None,
        ) from None


def _memory(raw: Path) -> dict[str, Any]:
    """Return the result of the last fetch by source.

    It is kept apart from the status, which is deleted when the fetch is run again. A
    damaged file counts as none.
    """
    with suppress(UserError, TypeError, ValueError):  # missing or damaged
        return dict(read_json(raw / "fetched.json"))
    return {}
