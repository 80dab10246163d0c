"""``pambench weights``: list, fetch, check and convert weights."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.commands.arguments import examples
from benchmark.errors import UserError
from benchmark.storage import paths

if TYPE_CHECKING:
    from benchmark.weights.registry import Weights

app = typer.Typer(help="List, fetch and check weights.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Id, or the path of an entry's YAML file.")]


@app.command("list")
def list_weights() -> None:
    """List the weights of the catalogue.

    Shows whether they are on this machine, their licence, and what they were trained on.
    """
    from benchmark.weights import registry as weights
    from benchmark.weights import store as weights_store

    for name in weights.names():
        entry = weights.load(name)
        trained = entry.trained_on
        data = [*trained.datasets, *trained.others] if trained else ["unknown"]
        sizes = [file.size for file in entry.files]
        size = f"{sum(filter(None, sizes)) / 1e6:,.0f} MB" if all(sizes) else "unknown"
        print(f"{entry.id}: {entry.name}")
        for key, value in {
            "what": entry.about or "",
            "here": _here(entry),
            "size": size,
            "licence": entry.licence.text,
            "trained on": ", ".join(data) or "none of the catalogue's datasets",
            "according to": trained.source if trained else "nobody",
            "get": weights_store.fetch_command(entry),
        }.items():
            print(f"{key:>12}: {value}")


@app.command(
    epilog=examples("weights fetch medsam2", "weights fetch pam-released --from ~/Downloads/pam")
)
def fetch(
    name: Name,
    given: Annotated[
        Path | None, typer.Option("--from", help="File or folder that you have downloaded.")
    ] = None,
) -> None:
    """Download weights and check them.

    With --from they are copied from a file or folder that you have downloaded.
    """
    from benchmark.weights import registry as weights
    from benchmark.weights import store as weights_store

    entry = weights.load(name)
    raw = paths.weights_folder(entry.id)
    if given is not None:
        weights_store.import_files(entry, given, raw)
    status = weights_store.fetch(entry, raw, name)
    # The workflow's own fetch is the first, and that weights are lost is no news to it.
    known = (raw / "status.json").is_file() and not weights_store.files_are_lost(entry, raw)
    if status.is_ready or known:
        weights_store.write_status(status, entry, raw)
    if not status.is_ready:
        raise UserError(f"The weights {entry.id!r} are not there. {status.reason}")
    print(f"{entry.id}: ready in {status.root}")


@app.command()
def verify(name: Name) -> None:
    """Check weights against published hashes.

    Files without one are checked against the hash of their first use. Downloads nothing; prints the
    sha256 of each file.
    """
    from benchmark.weights import registry as weights
    from benchmark.weights import store as weights_store

    entry = weights.load(name)
    for path, sha256 in weights_store.verify(entry, paths.weights_folder(entry.id), name).items():
        published = next(file.sha256 for file in entry.files if file.path == path)
        print(f"{sha256}  {path}  ({'as published' if published else 'as first used'})")


@app.command()
def convert(name: Name) -> None:
    """Convert weights to safetensors.

    Later runs use the converted files. Prints their paths.
    """
    from benchmark.weights import registry as weights
    from benchmark.weights import store as weights_store

    entry = weights.load(name)
    for path in weights_store.convert(entry, paths.weights_folder(entry.id), name):
        print(path)


def _here(entry: "Weights") -> str:
    from benchmark.weights import store as weights_store

    raw = paths.weights_folder(entry.id)
    path = raw / "status.json"
    if not path.is_file():
        lost = weights_store.files_are_lost(entry, raw)
        return "not looked for yet" if lost else "yes, not checked yet"
    status = weights_store.WeightsStatus.load(path)
    return f"ready in {status.root}" if status.is_ready else f"no: {status.reason}"
