"""What the data of a study take: sizes, licences, and which datasets must be fetched by hand."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark import catalogue
from benchmark.catalogue import Dataset
from benchmark.settings import load_yaml
from benchmark.sources.fetched import FetchedSource
from benchmark.sources.raw_folder import RawFolder
from benchmark.storage import paths
from benchmark.storage.digest import digest
from benchmark.study import Study


@dataclass(frozen=True)
class Item:
    """A dataset of the plan.

    - ``raw``: its raw folder.
    - ``bytes``: size of the download as far as known: all of it if ``whole``, else a part.
    - ``ready``: whether its files are here already.
    - ``steps``: what must be done by hand.
    """

    dataset: Dataset
    raw: Path
    bytes: float
    whole: bool
    ready: bool
    steps: tuple[str, ...]

    @property
    def source(self) -> str:
        """Digest of the source; datasets with the same source share their files."""
        return digest(self.dataset.source.model_dump(mode="json"))


def datasets(names: Iterable[str]) -> list[Dataset]:
    """Return the datasets of ``names``: catalogue ids, files of entries or study files."""
    found: dict[str, Dataset] = {}
    for name in names:
        content = load_yaml(Path(name)) if name.endswith((".yaml", ".yml")) else None
        if isinstance(content, dict) and "study" in content:
            found |= Study.read(content, name).entries
        else:
            entry = catalogue.load(name)
            found[entry.id] = entry
    return list(found.values())


def items(chosen: Iterable[Dataset]) -> list[Item]:
    """Return the plan's item for each dataset, without using the network."""
    return [_item(dataset, paths.raw_folder(dataset.id)) for dataset in chosen]


def _item(dataset: Dataset, raw: Path) -> Item:
    source = dataset.source
    if not isinstance(source, FetchedSource):
        if source.kind == "phantom":
            return Item(dataset, raw, 0.0, True, False, ())
        reason = source.fetch(raw).reason  # looks at a folder, copies nothing
        return Item(dataset, raw, 0.0, True, reason is None, (reason,) if reason else ())
    place = RawFolder(raw)
    return Item(
        dataset, raw, *source.size(), source.is_complete(raw), tuple(source.manual_steps(place))
    )


def text(planned: Sequence[Item]) -> Iterator[str]:
    """Yield the plan as lines of text."""
    here = [item for item in planned if item.ready]
    by_hand = [item for item in planned if item.steps and not item.ready]
    alone = [item for item in planned if not item.steps and not item.ready]
    for heading, group in (
        ("Here already", here),
        ("Comes by itself", alone),
        ("To be done by hand", by_hand),
    ):
        if group:
            yield f"{heading}: {_count(group)}"
            for item in group:
                yield from _lines(item)
            yield ""
    yield from _shared(planned)
    unverified = [(i.dataset.id, layout.unverified) for i in planned for layout in i.dataset.layout]
    if doubts := list(dict.fromkeys((name, doubt) for name, doubt in unverified if doubt)):
        yield "Not verified against the files (a scan that does not fit is set aside):"
        yield from (f"  {name}: {doubt}" for name, doubt in doubts)
        yield ""
    if alone or by_hand:
        free = shutil.disk_usage(_existing(planned[0].raw)).free
        yield (
            f"Free on this disk: {free / 1e9:,.0f} GB. An archive takes its size once more when it "
            "is unpacked, and may be deleted then."
        )


def _lines(item: Item) -> Iterator[str]:
    entry = item.dataset
    licence = entry.licence.spdx or entry.licence.note or "not known"
    size = _readable(item.bytes) if item.whole else "size not known"
    if item.bytes and not item.whole:
        size = f"over {_readable(item.bytes)}"
    if not isinstance(entry.source, FetchedSource):
        size = "generated" if entry.source.kind == "phantom" else "own files"
    yield f"  {entry.id:6} {entry.name:28} {size:>14}  {entry.source.kind:11} licence: {licence}"
    if not item.ready:
        if entry.registration and item.steps:
            yield f"         needs {entry.registration}"
        yield from (f"         {number}. {step}" for number, step in enumerate(item.steps, 1))


def _count(group: Sequence[Item]) -> str:
    """Return number and total size of datasets; files that datasets share are counted once."""
    once = {item.source: item for item in group}.values()
    known, unknown = sum(item.bytes for item in once), sum(not item.whole for item in once)
    more = f" and what is not known of {unknown}" if unknown else ""
    return f"{len(group)} dataset{'s' * (len(group) != 1)}, {_readable(known)}{more}"


def _readable(size: float) -> str:
    return f"{size / 1e9:,.1f} GB" if size == 0 or size >= 1e9 else f"{size / 1e6:,.1f} MB"


def _shared(planned: Sequence[Item]) -> Iterator[str]:
    by_source: dict[str, list[str]] = {}
    for item in planned:
        if isinstance(item.dataset.source, FetchedSource) and item.dataset.source.kind != "manual":
            by_source.setdefault(item.source, []).append(item.dataset.id)
    shared = [" and ".join(ids) for ids in by_source.values() if len(ids) > 1]
    if shared:
        yield f"Downloaded once for all that share it: {'; '.join(shared)}"
        yield ""


def _existing(path: Path) -> Path:
    absolute = path.absolute()
    return next(folder for folder in (absolute, *absolute.parents) if folder.exists())
