"""Records of Zenodo, checked by the hashes that it publishes."""

from typing import Any, ClassVar, Literal
from urllib.parse import quote

from pydantic import Field

from benchmark.sources.fetched import FetchedSource
from benchmark.sources.files import File
from benchmark.sources.raw_folder import FetchedFile, RawFolder
from benchmark.sources.records import Published, choose, download_all, get_json, parse_answer

API = "https://zenodo.org/api/records"
FILES = "https://zenodo.org/records"


class ZenodoSource(FetchedSource):
    """Files of a Zenodo record.

    ``record`` is the number of one version of the record, and ``files`` selects files.
    """

    tag: ClassVar = "zenodo"
    kind: Literal["zenodo"]
    record: int = Field(ge=1)
    files: tuple[File, ...] = Field(min_length=1)

    def gather(self, place: RawFolder) -> list[FetchedFile]:
        """Download the files; the record is queried only if the entry lacks a hash."""
        if all(file.hashes for file in self.files):
            chosen = [(file, Published(file.name, self._address(file.name))) for file in self.files]
        else:
            where = f"Zenodo record {self.record}"
            content = get_json(place, f"{API}/{self.record}")
            chosen = list(
                choose(self.files, parse_answer(where, lambda: self._published(content)), where)
            )
        return download_all(place, f"zenodo/{self.record}", chosen)

    def _published(self, content: Any) -> list[Published]:
        found = []
        for file in content["files"]:
            algorithm, _, value = file["checksum"].partition(":")
            name, hashes = str(file["key"]), {algorithm: value}
            found.append(Published(name, self._address(name), int(file["size"]), hashes))
        return found

    def _address(self, name: str) -> str:
        return f"{FILES}/{self.record}/files/{quote(name)}?download=1"
