"""``pambench datasets``: which data exist, what they take, and how to get them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.commands.arguments import examples
from benchmark.errors import UserError

if TYPE_CHECKING:
    from benchmark.catalogue import Dataset
    from benchmark.sources import Status

app = typer.Typer(help="List, fetch, check and cite datasets.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Id, or the path of an entry's YAML file.")]
Names = Annotated[
    list[str], typer.Argument(help="Ids, or paths of YAML files: of entries, or of studies.")
]


@app.command("list")
def list_datasets() -> None:
    """List the datasets of the catalogue."""
    from benchmark import catalogue

    for name in catalogue.names():
        entry = catalogue.load(name)
        print(
            f"{entry.id:6} {entry.split:9} {entry.modality:7} {entry.source.kind:11} {entry.name}"
        )


@app.command()
def show(name: Name) -> None:
    """Show the entry of a dataset."""
    import yaml

    from benchmark import catalogue

    content = catalogue.load(name).model_dump(mode="json")
    print(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), end="")


@app.command(epilog=examples("datasets plan config/paper.yaml", "datasets plan D35 my/liver.yaml"))
def plan(names: Names) -> None:
    """Show what a study fetches.

    Sizes, licences, and what has to be done by hand. Needs no network.
    """
    from benchmark.overview import plan

    for line in plan.text(plan.items(plan.datasets(names))):
        print(line)


@app.command()
def fetch(names: Names) -> None:
    """Download and unpack datasets.

    The workflow then finds them.
    """
    from benchmark.overview.plan import datasets
    from benchmark.storage import paths

    missing = []
    for entry in datasets(names):
        status = entry.source.fetch(paths.raw_folder(entry.id))
        print(f"{entry.id}: {status.state}: {status.reason or f'{status.files:,} files'}")
        if not status.is_ready:
            missing.append(entry.id)
    if missing:
        raise UserError(f"Not there yet: {', '.join(missing)}. The reasons are given above.")


@app.command(epilog=examples("datasets prepare my/liver.yaml", "datasets prepare D35 --shard 0"))
def prepare(
    name: Name,
    shard: Annotated[int | None, typer.Option(help="Prepare only this shard, from 0.")] = None,
) -> None:
    """Try out the entry of a dataset.

    Prepares what is fetched and shows what was found and what was set aside. Writes no table.
    """
    from benchmark import catalogue, prepare
    from benchmark.prepare import labels
    from benchmark.prepare import scans as published

    entry = catalogue.load(name)
    status = _at_hand(entry, name)
    if shard is not None and shard not in range(entry.shards):
        raise UserError(f"{entry.id} has no shard {shard}: it has {entry.shards}, from 0.")
    scans, whole = 0, True
    objects: dict[str, list[str]] = {s.name: [] for s in entry.labels.values()}
    for number in range(entry.shards) if shard is None else [shard]:
        got = prepare.prepare(entry, status, number)
        scans += len(got.images)
        for row in got.objects:
            objects[row["structure"]].append(row["scan"])
        for row in got.failures:
            whole &= row["scan"] is not None
            print(f"set aside: {row['scan'] or 'the whole dataset'}: {row['reason']}")
    if shard is None and whole:
        root = Path(status.root)
        found = published.find(entry, root)
        for path in labels.without_image(entry, root, found):
            print(f"not used: {path.relative_to(root)}: a label without an image")
        for path in labels.of_another_format(entry, root, found):
            print(f"not used: {path.relative_to(root)}: the layout names another ending")
    if shard is None and entry.published:
        print(f"{scans:,} of {entry.published:,} published scans")
    else:
        print(f"{scans:,} scans")
    for structure, of in objects.items():
        n = len(set(of))
        print(f"{len(of):8,} {structure}, in {n:,} scan{'s' * (n != 1)}")


def _at_hand(entry: "Dataset", name: str) -> "Status":
    """Return the status of the files without a download; `UserError` if they need one."""
    from benchmark.sources import Status
    from benchmark.sources.fetched import FetchedSource
    from benchmark.storage import paths

    raw = paths.raw_folder(entry.id)
    if not isinstance(entry.source, FetchedSource):
        return entry.source.fetch(raw)
    if not entry.source.is_complete(raw):
        raise UserError(f"{entry.id} is not here. Run: pambench datasets fetch {name}")
    return Status(state="ready", root=str(raw / "files"), fingerprint="")


@app.command()
def verify(names: Names) -> None:
    """Check that fetched files are unchanged.

    Reads them all again.
    """
    from benchmark.overview.plan import datasets
    from benchmark.sources import inventory
    from benchmark.sources.fetched import FetchedSource
    from benchmark.sources.raw_folder import RawFolder
    from benchmark.storage import paths

    bad = []
    for entry in datasets(names):
        if not isinstance(entry.source, FetchedSource):
            print(f"{entry.id}: nothing is downloaded for it")
            continue
        count, wrong = inventory.verify(RawFolder(paths.raw_folder(entry.id)))
        print(f"{entry.id}: {count - len(wrong):,} of {count:,} files unchanged")
        print(*(f"  {problem}" for problem in wrong), sep="\n", end="\n" * bool(wrong))
        bad += [entry.id] * bool(wrong)
    if bad:
        raise UserError(
            f"Changed since the fetch: {', '.join(bad)}. Delete what is named above, then run "
            "pambench datasets fetch."
        )


@app.command()
def cite(
    names: Names,
    bibtex: Annotated[bool, typer.Option("--bibtex", help="Print BibTeX.")] = False,
) -> None:
    """Show how to cite datasets.

    As far as their entries say.
    """
    from benchmark import citations
    from benchmark.overview.plan import datasets

    for entry in datasets(names):
        if bibtex:
            print(citations.bibtex(entry.id, entry.name, entry.citation, entry.homepage))
            for number, citation in enumerate(entry.data_citations, start=1):
                title = f"{entry.name}: data"
                print(citations.bibtex(f"{entry.id}-data-{number}", title, citation, None))
            continue
        works = [entry.citation, *entry.data_citations]
        known = [" and ".join(filter(None, map(citations.readable, works))) or "no citation known"]
        known += [entry.homepage] if entry.homepage else []
        print(f"{entry.id}: {'. '.join([entry.name, *known])}")
