"""Addresses and BibTeX entries of citations."""

import re

import pytest

from benchmark.citations import address, bibtex, readable


@pytest.mark.parametrize(
    ("citation", "found"),
    [
        ("doi:10.1000/182", "https://doi.org/10.1000/182"),
        ("arXiv:2311.13385", "https://arxiv.org/abs/2311.13385"),
        ("Doe et al. A data set. 2024.", None),
        ("javascript:alert(1)", None),
        (None, None),
    ],
)
def test_address(citation: str | None, found: str | None) -> None:
    assert address(citation) == found
    assert readable(citation) == (found or citation)


def test_an_entry_holds_what_is_known_and_no_more() -> None:
    text = bibtex("D01", "A data set", "doi:10.1000/182", "https://example.org")
    fields = dict(re.findall(r"^  (\w+) = \{(.*)\},$", text, flags=re.MULTILINE))
    assert fields == {
        "title": "{A data set}",
        "doi": "10.1000/182",
        "url": "https://example.org",
    }
    assert bibtex("m", None, None, None) == "@misc{m,\n}\n"
    assert "url = {https://arxiv.org/abs/1}" in bibtex("m", None, "arXiv:1", None)
