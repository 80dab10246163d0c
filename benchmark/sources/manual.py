"""Data that a person has to obtain: they require an account, a form or an agreement."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import ClassVar, Literal

from benchmark.sources.archives import marker
from benchmark.sources.fetched import FetchedSource
from benchmark.sources.files import File, without_suffix
from benchmark.sources.raw_folder import (
    FetchedFile,
    ManualStepError,
    RawFolder,
    already_unpacked,
    is_unpacked,
)


class ManualSource(FetchedSource):
    """Files placed by hand: ``page`` is where to get them, ``steps`` what to do there.

    ``files`` names the files, with the hashes known; archives among them are unpacked. Without
    ``files``, all archives at the top level of the folder are unpacked.
    """

    tag: ClassVar = "manual"
    kind: Literal["manual"]
    page: str | None = None
    steps: tuple[str, ...] = ()
    files: tuple[File, ...] = ()

    def local_state(self, place: RawFolder) -> str:
        """Return the fingerprint of the files placed by hand."""
        return place.user_files_fingerprint

    def gather(self, place: RawFolder) -> Iterator[FetchedFile]:
        """Check the files placed by hand and yield the archives; other files need no link.

        Raises `ManualStepError` while a file is missing or differs from the published one.
        """
        if steps := self.manual_steps(place):
            raise ManualStepError(f"To be done by hand: {numbered(steps)}")
        names = _names(place)
        for file in self.files:
            for name in _fitting(file, names, place):
                _check(file, place, name)
        for file in self.files or [File(name=name) for name in names if "/" not in name]:
            for name in _fitting(file, names, place) or [file.name]:
                got = _got(file, name, place)
                if is_unpacked(got) and (got.path.is_file() or already_unpacked(got)):
                    yield got

    def manual_steps(self, place: RawFolder) -> list[str]:
        """Return the steps of the entry, and where to put the files, while a file is missing."""
        names = _names(place)
        missing = [
            _wanted(file, names, place) for file in self.files if not _is_there(file, names, place)
        ]
        if not missing and (self.files or names):
            return []
        steps = self.steps or (f"get the data from {self.page or 'their owners'}",)
        if self.page and not any(self.page in step for step in steps):
            steps = (f"open {self.page}", *steps)
        what = ", ".join(missing) or "the files"
        return [*steps, f"put {what} into {place.files} (archives are unpacked for you)"]


def numbered(steps: Sequence[str]) -> str:
    """Return numbered steps in one line."""
    return " ".join(f"{number}. {step}." for number, step in enumerate(steps, 1))


def _names(place: RawFolder) -> list[str]:
    return [path.relative_to(place.files).as_posix() for path in place.user_files]


def _got(file: File, name: str, place: RawFolder) -> FetchedFile:
    return FetchedFile(place.files / name, name, file, unpacked=place.unpacked / name)


def _fitting(file: File, names: Sequence[str], place: RawFolder) -> list[str]:
    """Return the file names that match an entry, with archives deleted after they were unpacked.

    Deleted archives are considered only for a name with wildcards that no file matches.
    """
    found = [name for name in names if fnmatchcase(name, file.name)]
    if found or not file.many:
        return found
    opened = (path.name for path in sorted(place.unpacked.glob("*")) if marker(path))
    return [name for name in opened if fnmatchcase(name, file.name)]


def _wanted(file: File, names: Sequence[str], place: RawFolder) -> str:
    """Describe a missing file."""
    if file.count is None:
        return file.name
    found = len(_fitting(file, names, place))
    return f"{file.count} files like {file.name}, of which {found} are there,"


def _is_there(file: File, names: Sequence[str], place: RawFolder) -> bool:
    """Return whether the file, or its unpacked content, is there."""
    if found := len(_fitting(file, names, place)):
        return file.count in (None, found)
    folder = without_suffix(file.name) + "/"
    opened = is_unpacked(_got(file, file.name, place)) and any(n.startswith(folder) for n in names)
    return opened or already_unpacked(_got(file, file.name, place))


def _check(file: File, place: RawFolder, name: str) -> None:
    path, expected = place.files / name, file.expected
    difference = None
    if expected.size is not None or expected.hashes:
        difference, _ = expected.check(path)
    if difference is not None:
        raise ManualStepError(
            f"{path} is not the published file: {difference}. Get it again: the download was "
            "damaged, or it is another version."
        )
