"""Options that several commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.errors import UserError
from benchmark.storage import paths

if TYPE_CHECKING:
    from benchmark.study import Study

Output = Annotated[Path, typer.Option(help="File to write.")]
Input = Annotated[Path, typer.Option(help="File to read.")]
Folder = Annotated[Path, typer.Option(help="Folder of the study: results/<study>.")]


def examples(*commands: str) -> str:
    """Return the end of a help page: ``commands`` as a user types them after ``pambench``."""
    lines = (f"  pambench {command}" for command in commands)
    return "\n".join(["\b", "Examples:", *lines])  # \b: lines are not joined


def only_study() -> Path:
    """Return the folder of the only study in ``results``; raise `UserError` if there is not one."""
    begun = Path().glob(f"{paths.STUDY.format(study='*')}/settings.json")
    found = sorted(path.parent for path in begun)
    if len(found) == 1:
        return found[0]
    named = ", ".join(map(str, found)) or "none"
    raise UserError(
        "Which study? Without --study there must be exactly one in results/; found: "
        f"{named}. Name it: --study results/<study>."
    )


OnlyStudy = Annotated[
    Path,
    typer.Option(
        default_factory=only_study,
        help="Folder of the study: results/<study>.",
        show_default="the only study in results/",
    ),
]


def read_study(folder: Path) -> "Study":
    """Read the settings of the study in ``folder``; raise `UserError` if there are none."""
    from benchmark.study import Study

    file = folder / "settings.json"
    if not file.exists() and not folder.is_file():
        raise UserError(
            f"No such file: {file}. A run writes it, unless --until ends it before. Next step: "
            f"name the folder results/<study>; or run: snakemake --configfile STUDY.yaml {file}"
        )
    return Study.load(file)
