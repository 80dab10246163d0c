"""Articles of Figshare, checked by the hashes that it publishes."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from benchmark.sources.fetched import FetchedSource
from benchmark.sources.files import File
from benchmark.sources.raw_folder import FetchedFile, RawFolder
from benchmark.sources.records import Published, choose, download_all, get_json, parse_answer

API = "https://api.figshare.com/v2/articles"


class FigshareSource(FetchedSource):
    """Files of a Figshare article.

    ``article`` is its number, ``version`` that of its version, and ``files`` selects files.
    """

    tag: ClassVar = "figshare"
    kind: Literal["figshare"]
    article: int = Field(ge=1)
    version: int = Field(ge=1)
    files: tuple[File, ...] = Field(min_length=1)

    def gather(self, place: RawFolder) -> list[FetchedFile]:
        """List the files of the version, and download those of the entry."""
        where = f"Figshare article {self.article}, version {self.version}"
        content = get_json(place, f"{API}/{self.article}/versions/{self.version}")
        chosen = choose(self.files, parse_answer(where, lambda: _published(content)), where)
        return download_all(place, f"figshare/{self.article}-{self.version}", chosen)


def _published(content: Any) -> list[Published]:
    return [
        Published(
            str(file["name"]),
            str(file["download_url"]),
            int(file["size"]),
            {"md5": str(file["computed_md5"])},
        )
        for file in content["files"]
    ]
