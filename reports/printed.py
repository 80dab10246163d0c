"""A table with formatted cells, and how it is written as csv, Markdown and LaTeX."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from benchmark.storage.files import atomic
from reports.formatting import DAGGER, NONE

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class PrintedTable:
    """A table ready to be written and shown.

    Attributes:
        name: file name without suffix.
        heading: title in the report.
        numbers: full values, for the csv file.
        head: column headings.
        blocks: formatted rows by the title of their block.
        notes: notes under the table.
        when_empty: text in place of the rows if there are none.
    """

    name: str
    heading: str
    numbers: "pd.DataFrame"
    head: Sequence[str]
    blocks: Mapping[str, list[list[str]]]
    notes: Sequence[str] = ()
    when_empty: str = "No rows."

    @classmethod
    def one_block(
        cls,
        name: str,
        heading: str,
        numbers: "pd.DataFrame",
        head: Sequence[str],
        cells: list[list[str]],
        notes: Sequence[str] = (),
        when_empty: str = "No rows.",
    ) -> Self:
        """Return a table whose only block has the table's heading as title."""
        return cls(name, heading, numbers, head, {heading: cells}, notes, when_empty)

    @property
    def cells(self) -> list[list[str]]:
        """The formatted rows of all blocks."""
        return [row for rows in self.blocks.values() for row in rows]

    def write(self, folder: Path) -> list[Path]:
        """Write the table as csv, md and tex into ``folder`` and return the paths."""
        texts = {
            "csv": self.numbers.to_csv(index=False, lineterminator="\n"),
            "md": _markdown(self),
            "tex": _latex(self),
        }
        made = []
        for suffix, text in texts.items():
            path = folder / f"{self.name}.{suffix}"
            with atomic(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
            made.append(path)
        return made


def _markdown(table: PrintedTable) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |\n"

    text = ""
    for title, rows in table.blocks.items():
        text += f"**{title}**\n\n" if title else ""
        if rows:
            text += line(table.head) + line(["---", *["---:"] * (len(table.head) - 1)])
        text += "".join(line(row) for row in rows) + "\n" * bool(rows)
    if not any(table.blocks.values()):
        text += f"{table.when_empty}\n\n"
    return text.removesuffix("\n") + "".join(f"\n{note}\n" for note in table.notes)


_TEX = str.maketrans(
    {
        **{c: f"\\{c}" for c in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        "<": "$<$",
        ">": "$>$",
        "|": r"\textbar{}",
        NONE: "--",
        DAGGER: r"$^\dagger$",
    }
)


def _latex(table: PrintedTable) -> str:
    def escaped(text: str) -> str:
        if text.startswith("**"):
            return rf"\textbf{{{text.strip('*').translate(_TEX)}}}"
        return text.translate(_TEX)

    def line(cells: Sequence[str]) -> str:
        return " & ".join(escaped(c) for c in cells) + r" \\" + "\n"

    columns = len(table.head)
    text = rf"\begin{{tabular}}{{l{'r' * (columns - 1)}}}" + "\n\\toprule\n" + line(table.head)
    for title, rows in table.blocks.items():
        text += "\\midrule\n"
        if title:
            text += rf"\multicolumn{{{columns}}}{{l}}{{{escaped(title)}}} \\" + "\n"
        text += "".join(line(row) for row in rows)
    if not any(table.blocks.values()):
        text += "\\midrule\n" * (not table.blocks)
        text += rf"\multicolumn{{{columns}}}{{l}}{{{escaped(table.when_empty)}}} \\" + "\n"
    text += "\\bottomrule\n\\end{tabular}\n"
    return text + "".join(f"\n\\par\\footnotesize {escaped(note)}\n" for note in table.notes)
