"""Writes a table as csv, Markdown and LaTeX."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.files import atomic
from reports.formatting import DAGGER, NONE

if TYPE_CHECKING:
    import pandas as pd


def write(
    stem: Path,
    numbers: "pd.DataFrame",
    blocks: dict[str, list[list[str]]],
    head: Sequence[str],
    below: Sequence[str],
    without: str = "No scores.",
) -> list[Path]:
    """Write ``numbers`` as ``stem``.csv and the formatted cells as .md and .tex; return the paths.

    Args:
        stem: path without suffix.
        numbers: full values.
        blocks: rows of cells by the title of their block.
        head: column headings.
        below: notes under the table.
        without: text written in place of an empty table.
    """
    texts = {
        "csv": numbers.to_csv(index=False, lineterminator="\n"),
        "md": _markdown(blocks, head, below, without),
        "tex": _latex(blocks, head, below, without),
    }
    made = []
    for suffix, text in texts.items():
        path = stem.with_name(f"{stem.name}.{suffix}")
        with atomic(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        made.append(path)
    return made


def _markdown(
    blocks: dict[str, list[list[str]]], head: Sequence[str], below: Sequence[str], without: str
) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |\n"

    text = ""
    for title, rows in blocks.items():
        text += f"**{title}**\n\n" if title else ""
        if rows:
            text += line(head) + line(["---", *["---:"] * (len(head) - 1)])
        text += "".join(line(row) for row in rows) + "\n" * bool(rows)
    if not any(blocks.values()):
        text += f"{without}\n\n"
    return text.removesuffix("\n") + "".join(f"\n{note}\n" for note in below)


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


def _latex(
    blocks: dict[str, list[list[str]]], head: Sequence[str], below: Sequence[str], without: str
) -> str:
    def escaped(text: str) -> str:
        if text.startswith("**"):
            return rf"\textbf{{{text.strip('*').translate(_TEX)}}}"
        return text.translate(_TEX)

    def line(cells: Sequence[str]) -> str:
        return " & ".join(escaped(c) for c in cells) + r" \\" + "\n"

    text = rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}" + "\n\\toprule\n" + line(head)
    for title, rows in blocks.items():
        text += "\\midrule\n"
        if title:
            text += rf"\multicolumn{{{len(head)}}}{{l}}{{{escaped(title)}}} \\" + "\n"
        text += "".join(line(row) for row in rows)
    if not any(blocks.values()):
        text += "\\midrule\n" * (not blocks)
        text += rf"\multicolumn{{{len(head)}}}{{l}}{{{escaped(without)}}} \\" + "\n"
    text += "\\bottomrule\n\\end{tabular}\n"
    return text + "".join(f"\n\\par\\footnotesize {escaped(note)}\n" for note in below)
