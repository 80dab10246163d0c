"""Links from the points of a figure to the cases behind them.

A figure places invisible links over its points (`mark`). In the SVG file they lead to the report;
in the report, where the figure is an image, `spots` turns them into links of the page.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote
from xml.etree import ElementTree

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PAGE = "../report.html"
_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"


def case(dataset: str, name: str) -> str:
    """Return the address of the case of the object ``name``."""
    return f"{_PAGE}#case:{quote(f'{dataset}/{name}')}"


def cases(dataset: str, structure: str = "") -> str:
    """Return the address of the cases of a dataset, or of one of its structures."""
    return f"{_PAGE}#cases:{quote(f'{dataset}/ {structure}'.strip())}"


def mark(axes: "Axes", x: Any, y: Any, addresses: Sequence[str]) -> None:
    """Place links over the points at ``x`` and ``y``, in data coordinates."""
    style: Any = {"s": 30, "alpha": 0, "linewidths": 0, "zorder": 5}
    axes.scatter(x, y, urls=list(addresses), **style)


def mark_datasets(axes: "Axes", x: Any, y: Any, datasets: Iterable[object]) -> None:
    """Place a link to the cases of a dataset over each point; see `mark`."""
    mark(axes, x, y, [cases(str(dataset)) for dataset in datasets])


def spots(svg: str, known: Collection[str]) -> list[dict[str, str]]:
    """Find the links of an SVG whose targets are in ``known``, and their positions.

    ``known`` holds unquoted URL fragments. Each link has ``href``, ``name``, and ``left`` and
    ``top`` in percent of the image.
    """
    root = ElementTree.fromstring(svg)
    left, top, width, height = (float(part) for part in root.attrib["viewBox"].split())
    found = []
    for anchor in root.iter(f"{_SVG}a"):
        page, _, place = anchor.get(_HREF, "").partition("#")
        name = unquote(place)
        if page != _PAGE or name not in known:
            continue
        for use in anchor.iter(f"{_SVG}use"):
            x, y = float(use.attrib["x"]), float(use.attrib["y"])
            spot = {"href": f"#{place}", "name": name.partition(":")[2]}
            spot["left"] = f"{100 * (x - left) / width:.2f}"
            spot["top"] = f"{100 * (y - top) / height:.2f}"
            found.append(spot)
    return found
