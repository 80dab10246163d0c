"""Files of a published record: selected by name, downloaded, checked against the record."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from benchmark.errors import unknown_name
from benchmark.machine.progress import progress
from benchmark.sources.answers import TIMEOUT, check_status, host_of, shown, with_download_errors
from benchmark.sources.download import download
from benchmark.sources.files import File, below
from benchmark.sources.patience import DownloadError
from benchmark.sources.raw_folder import FetchedFile, RawFolder, already_unpacked

_MANY = 20


@dataclass(frozen=True)
class Published:
    """A file as published by its host: address, size in bytes, hashes by algorithm."""

    name: str
    url: str
    size: int | None = None
    hashes: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


def choose(
    files: Iterable[File], published: Sequence[Published], where: str
) -> Iterator[tuple[File, Published]]:
    """Yield the published files that the entry names, each once, with the first entry that matches.

    Raises `DownloadError` where a name matches no file, where the number of matches differs from
    the entry, and where the published hash or size differs from the entry.
    """
    taken: set[str] = set()
    for file in files:
        fitting = [one for one in published if fnmatchcase(one.name, file.name)]
        if not file.many:
            fitting = [one for one in published if one.name == file.name]
        if not fitting:
            known = unknown_name("file", file.name, [one.name for one in published[:50]])
            raise DownloadError(f"{where} has no such file. {known}")
        if file.count not in (None, len(fitting)):
            raise DownloadError(
                f"{where} has {len(fitting)} files like {file.name!r}, but the entry knows of "
                f"{file.count}: the record has changed. Look at its page, and correct the entry."
            )
        for one in fitting:
            if one.name not in taken:
                taken.add(one.name)
                _agree(file, one, where)
                yield file, one


def _agree(file: File, one: Published, where: str) -> None:
    known = {**file.hashes, **({"size": file.size} if file.size else {})}
    published = {**one.hashes, **({"size": one.size} if one.size else {})}
    for name in known.keys() & published.keys():
        if known[name] != published[name]:
            raise DownloadError(
                f"{where} publishes {one.name} with the {name} {published[name]}, but the entry "
                f"knows {known[name]}: another version. Look at its page, and correct the entry."
            )


def download_all(
    place: RawFolder, store: str, chosen: Iterable[tuple[File, Published]]
) -> list[FetchedFile]:
    """Download the chosen files to ``store``, below the downloads folder, one after the other."""
    import requests

    folder, every, got = place.downloads / below(store), list(chosen), []
    many = len(every) > _MANY
    with requests.Session() as session:
        for file, one in progress(every, store, "file") if many else every:
            hashes = {**one.hashes, **file.hashes}
            here = FetchedFile(folder / below(one.name), one.name, file, verified=bool(hashes))
            got.append(here)
            if already_unpacked(here):
                continue
            with place.host_slot(host_of(one.url)):
                download(
                    one.url,
                    here.path,
                    size=file.size or one.size,
                    hashes=hashes,
                    headers=one.headers,
                    session=session,
                    patience=place.patience,
                    quiet=many,
                )
    return got


def get_json(place: RawFolder, url: str) -> Any:
    """Return the JSON response of an address; raises `DownloadError`."""
    import requests

    def once() -> Any:
        answer = requests.get(url, timeout=TIMEOUT)
        check_status(answer, url)
        try:
            return answer.json()
        except requests.exceptions.JSONDecodeError:
            raise DownloadError(
                f"{shown(url)} did not answer with JSON: its interface has changed, "
                "or a page of the network is in between. Open the address in a browser to see."
            ) from None

    with place.host_slot(host_of(url)):
        return place.patience.retry(shown(url), lambda: with_download_errors(url, once))


def parse_answer(where: str, read: Callable[[], list[Published]]) -> list[Published]:
    """Call ``read`` on a response; raise `DownloadError` if the format is not the expected one."""
    try:
        return read()
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DownloadError(
            f"{where} answered in a form that is not known ({type(error).__name__}: {error}). Its "
            "interface has changed: get the files by hand, and report it."
        ) from None
