"""The report in a real browser, without a network: what its script does."""

import html as escapes
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reports import html
from reports.paper import ledger
from reports.results import Results

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM = next((path for name in _NAMES if (path := shutil.which(name))), None)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH")

WATCH = """
<script>
const wrong = [];
for (const kind of ["error", "securitypolicyviolation"])
  addEventListener(kind, (event) => wrong.push(event.message ?? event.violatedDirective));
</script>
"""
DRIVE = """
const table = (name) => document.querySelector(`[aria-label="${name}"] table`);
const column = (name, i) => [...table(name).tBodies[0].rows]
  .filter((row) => row.getClientRects().length).map((row) => row.cells[i].textContent);
const press = (name, i) => table(name).tHead.rows[0].cells[i].querySelector("button").click();
const sorted = (name, i) => table(name).tHead.rows[0].cells[i].getAttribute("aria-sort");
const type = (name, words) => {
  const input = table(name).parentElement.previousElementSibling.querySelector("input");
  input.value = words;
  input.dispatchEvent(new Event("input"));
  return input.closest(".filter").querySelector("output").textContent;
};
const colour = (selector) => getComputedStyle(document.querySelector(selector)).backgroundColor;
"""


def browse(text: str, folder: Path, script: str) -> Any:
    """Open a page, run ``script``, a body of a function, and give what it returns."""
    end = f"<script>{DRIVE}\ndocument.title = JSON.stringify((() => {{ {script} }})());</script>"
    page = folder / "page.html"
    before = text.replace("<body>", "<body>" + WATCH).replace("</body>", end + "</body>")
    page.write_text(before, encoding="utf-8")
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += [f"--user-data-dir={folder / 'profile'}", page.as_uri()]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120, check=True)
    title = re.search(r"<title>(.*?)</title>", done.stdout, flags=re.DOTALL)
    assert title is not None
    return json.loads(escapes.unescape(title[1]))


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, made: Callable[..., Path]) -> Results:
    folder = made(tmp_path_factory.mktemp("many"), 12, 2)
    ledger.make(Results(folder))
    return Results(folder)


@pytest.fixture(scope="module")
def seen(many: Results, tmp_path_factory: pytest.TempPathFactory) -> Any:
    script = """
    const found = { start: column("DSC by dataset", 4) };
    press("DSC by dataset", 4);
    found.up = column("DSC by dataset", 4);
    found.ariaUp = sorted("DSC by dataset", 4);
    press("DSC by dataset", 4);
    found.down = column("DSC by dataset", 4);
    found.ariaDown = sorted("DSC by dataset", 4);
    press("DSC by dataset", 0);
    found.released = sorted("DSC by dataset", 4);
    found.told = type("DSC by dataset", "ct d0");
    found.left = column("DSC by dataset", 0);
    found.all = type("DSC by dataset", "");
    document.querySelector("#ledger ~ details").open = true;
    type("Not computable here", "table1 medsam HD95");
    found.absent = column("Not computable here", 0);
    found.bars = [...document.querySelectorAll(".filter")].every((bar) => !bar.hidden);
    found.page = colour("body");
    document.getElementById("theme").click();
    found.other = colour("body");
    document.getElementById("theme").click();
    found.back = colour("body");
    let saved = null;
    HTMLAnchorElement.prototype.click = function () { saved = [this.download, this.href]; };
    const region = document.querySelector('[aria-label="DSC by dataset"]');
    type("DSC by dataset", "d02");
    region.parentElement.querySelector(".scroll ~ .save, .scroll ~ .files .save").click();
    found.saved = [saved[0], decodeURIComponent(saved[1].split(",").slice(1).join(","))];
    type("DSC by dataset", "");
    const parts = [...document.querySelectorAll("details:not(.table)")];
    parts.forEach((part) => { part.open = false; });
    dispatchEvent(new Event("beforeprint"));
    found.printed = parts.map((part) => part.open);
    dispatchEvent(new Event("afterprint"));
    found.after = parts.map((part) => part.open);
    parts.forEach((part) => { part.open = true; });
    const reachable = [...document.querySelectorAll("a[href], button, input, summary, [tabindex]")]
      .filter((part) => part.tabIndex >= 0 && part.getClientRects().length);
    found.order = reachable.map((part) => part.tabIndex);
    found.unseen = reachable.filter((part) => {
      part.focus();
      return part.matches(":focus-visible") && getComputedStyle(part).outlineStyle === "none";
    }).map((part) => part.outerHTML.slice(0, 80));
    found.focused = reachable.length;
    document.querySelector("main").style.width = "20rem";
    const regions = [...document.querySelectorAll(".scroll")].filter((region) =>
      region.getClientRects().length && region.scrollWidth > region.clientWidth);
    found.wide = regions.length;
    found.cut = regions.filter((region) => {
      region.scrollLeft = region.scrollWidth;
      const parts = [region.querySelector("caption"), region];
      const [part, seen] = parts.map((box) => box.getBoundingClientRect());
      return part.left < seen.left - 1 || part.right > seen.right + 1;
    }).map((region) => region.getAttribute("aria-label"));
    found.nameless = [...document.querySelectorAll("button, input, a[href], [role=region]")]
      .filter((part) => !(part.getAttribute("aria-label") ?? part.labels?.[0]?.textContent
        ?? part.textContent).trim()).length;
    found.wrong = wrong;
    return found;
    """
    return browse(html.render(many), tmp_path_factory.mktemp("browser"), script)


def test_nothing_goes_wrong(seen: Any) -> None:
    assert seen["wrong"] == []
    assert seen["bars"]


def test_a_heading_sorts(seen: Any, many: Results) -> None:
    table = many.by_dataset
    rows = table[(table["metric"] == "dsc") & (table["method"] == many.methods_in_table_order[0])]
    values = [f"{value:.3f}" for value in sorted(rows["mean"].dropna())]
    assert [text[:5] for text in seen["up"]] == values
    assert [text[:5] for text in seen["down"]] == values[::-1]
    assert seen["start"] not in (seen["up"], seen["down"])
    assert (seen["ariaUp"], seen["ariaDown"]) == ("ascending", "descending")
    assert seen["released"] is None


def test_words_filter(seen: Any, many: Results) -> None:
    known = many.dataset_records
    names = [n for n, entry in known.items() if entry.modality == "CT" and n.startswith("D0")]
    assert [text[:3] for text in seen["left"]] == names
    assert seen["told"] == f"{len(names)} of {len(known)} rows"
    assert seen["all"] == f"{len(known)} of {len(known)} rows"
    assert seen["absent"] == ["table1 medsam hd95 mm"]


def test_dark_and_light(seen: Any) -> None:
    assert seen["page"] != seen["other"]
    assert seen["page"] == seen["back"]
    assert "rgb(255, 255, 255)" in (seen["page"], seen["other"])


def test_a_table_is_saved_as_it_is_shown(seen: Any, many: Results) -> None:
    name, text = seen["saved"]
    assert name == "dsc-by-dataset.csv"
    head, row = text.splitlines()
    assert head.split(",")[4:] == list(many.methods_in_table_order)
    assert row.startswith("D02")


def test_the_caption_of_a_wide_table_is_seen_whole_however_it_is_scrolled(seen: Any) -> None:
    assert seen["wide"] > 5
    assert seen["cut"] == []


def test_on_paper_what_is_folded_is_shown(seen: Any) -> None:
    assert seen["printed"]
    assert all(seen["printed"])
    assert not any(seen["after"])


def test_the_keyboard_reaches_everything_in_order_and_shows_where_it_is(seen: Any) -> None:
    assert seen["focused"] > 50
    assert set(seen["order"]) == {0}  # the order of the page
    assert seen["unseen"] == []
    assert seen["nameless"] == 0
