"""Citations as URL, text and BibTeX."""

_RESOLVERS = {"doi:": "https://doi.org/", "arxiv:": "https://arxiv.org/abs/"}


def address(citation: str | None) -> str | None:
    """Return the URL of a cited work; None if the citation is neither a DOI nor an arXiv id."""
    for scheme, resolver in _RESOLVERS.items():
        if citation and citation.lower().startswith(scheme):
            return resolver + citation[len(scheme) :].strip()
    return None


def readable(citation: str | None) -> str | None:
    """Return the URL of a citation or, if it has none, the citation itself."""
    return address(citation) or citation


def bibtex(key: str, title: str | None, citation: str | None, homepage: str | None) -> str:
    """Return a BibTeX entry of type ``misc`` with the fields that are known."""
    fields = {"title": f"{{{title}}}"} if title else {}
    if citation and citation.startswith("doi:"):
        fields["doi"] = citation.removeprefix("doi:")
    elif citation:
        fields["note"] = citation
    url = homepage or (address(citation) if "doi" not in fields else None)
    if url:
        fields["url"] = url
    lines = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items())
    return f"@misc{{{key},\n{lines}}}\n"
