"""How a work is cited: as an address to open, as text, and as BibTeX."""

_RESOLVERS = {"doi:": "https://doi.org/", "arxiv:": "https://arxiv.org/abs/"}


def address(citation: str | None) -> str | None:
    """Where the cited work is found; none for a citation that is neither a DOI nor of arXiv."""
    for scheme, resolver in _RESOLVERS.items():
        if citation and citation.lower().startswith(scheme):
            return resolver + citation[len(scheme) :].strip()
    return None


def readable(citation: str | None) -> str | None:
    """Give the address where there is one, else the citation as it stands."""
    return address(citation) or citation


def bibtex(key: str, title: str | None, citation: str | None, homepage: str | None) -> str:
    """Give an entry of the kind ``misc`` with what is known; nothing is made up."""
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
