"""The command line ``pambench``: the commands of `benchmark.commands` and of other packages.

Each command does its imports when it is called, so that ``--help`` and small jobs start quickly.
"""

import atexit
import gc
import sys
from importlib.metadata import entry_points, version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from benchmark.commands import analyse, datasets, methods, scores, stages, studies, weights
from benchmark.commands.stages import STAGES
from benchmark.errors import UserError
from benchmark.machine.leftovers import end_soon
from benchmark.storage.disk import raise_if_disk_full

COMMANDS = "pambench.commands"
"""Entry-point group of further commands: each entry is a `typer.Typer` whose commands are added."""


class Listing(TyperGroup):
    """Help page that lists the commands for people first, then those of the workflow."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write one section per ``rich_help_panel``, which typer itself does only with rich."""
        room = formatter.width - 6 - max(map(len, self.commands))  # one line per command
        sections: dict[str, list[tuple[str, str]]] = {"Commands": [], STAGES: []}
        for name, command in self.commands.items():
            title = getattr(command, "rich_help_panel", None) or "Commands"
            sections[title].append((name, command.get_short_help_str(room)))
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)


app = typer.Typer(
    cls=Listing,
    help="Benchmark of promptable 3D medical image segmentation.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for module in (stages, studies, methods, scores):
    app.registered_commands += module.app.registered_commands
app.add_typer(datasets.app, name="datasets")
app.add_typer(methods.methods, name="methods")
app.add_typer(weights.app, name="weights")
app.add_typer(analyse.app, name="analyse")


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"pambench {version('pambench')}")
        raise typer.Exit


@app.callback()
def _root(
    shown: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    """Benchmark of promptable 3D medical image segmentation."""


_WRONG_FILE_TYPE = {
    IsADirectoryError: "is a folder; expected a file",
    NotADirectoryError: "has a file where a folder is expected",
    FileExistsError: "is a file; expected a folder",
}


def main() -> None:
    """Run the command line; print a `UserError` without a traceback and exit with status 1."""
    # The collection at exit, over all that was imported, is a fifth of the CPU time of small jobs.
    atexit.register(gc.freeze)
    for point in entry_points(group=COMMANDS):
        app.registered_commands += point.load().registered_commands
    code = 1
    try:
        _run()
    except UserError as error:
        print(f"pambench: {error}", file=sys.stderr)
        sys.exit(code)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise
    finally:
        end_soon(code)


def _run() -> None:
    """Run the command line; raise `UserError` for an `OSError` that the user can correct."""
    try:
        app()
    except OSError as error:
        raise_if_disk_full(error)
        if explained := _as_user_error(error):
            raise explained from error
        raise


def _as_user_error(error: OSError) -> UserError | None:
    """Explain missing permissions, and a folder in place of a file or the reverse."""
    if isinstance(error, PermissionError):
        return UserError(
            f"Permission denied: {error.filename or 'a file'}. Run pambench where you may read and "
            "write, or change the permissions."
        )
    for kind, problem in _WRONG_FILE_TYPE.items():
        if isinstance(error, kind):
            path = error.filename2 or error.filename
            return UserError(f"{path} {problem}. Choose another path.")
    return None
