"""The page of datasets matches the catalogue."""

from pathlib import Path

from benchmark import catalogue
from benchmark.catalogue.page import by_itself, page

PAGE = Path(__file__).parents[2] / "docs" / "datasets.md"


def test_the_page_is_in_step_with_the_entries() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m benchmark.catalogue.page"


def test_every_dataset_of_the_paper_has_a_row() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| D")]
    assert [row.split(" | ")[0] for row in rows] == [f"| D{n:02d}" for n in range(1, 45)]
    assert {row.count(" | ") for row in rows} == {8}


def test_what_needs_an_account_says_which() -> None:
    """By what the public pages tell: nine of the 44."""
    entries = [catalogue.load(f"D{n:02d}") for n in range(1, 45)]
    by_hand = {entry.id for entry in entries if not by_itself(entry)}
    assert by_hand == {"D05", "D07", "D08", "D09", "D21", "D22", "D24", "D29", "D40"}
    assert by_hand == {entry.id for entry in entries if entry.registration}
