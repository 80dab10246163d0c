"""Datasets of a Dataverse server, checked by the hashes that it publishes."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from benchmark.sources.fetched import FetchedSource
from benchmark.sources.files import File
from benchmark.sources.raw_folder import FetchedFile, RawFolder
from benchmark.sources.records import Published, choose, download_all, get_json, parse_answer

_ALGORITHMS = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-512": "sha512"}


class DataverseSource(FetchedSource):
    """Files of a Dataverse dataset.

    ``server`` is the host name, ``doi`` the DOI of the dataset, ``version`` one like ``1.0`` (None
    takes the latest, for datasets whose version is not known) and ``files`` selects files. The name
    of a file is its folder and label, such as ``training/Utrecht/0/wmh.nii.gz``.
    """

    tag: ClassVar = "dataverse"
    kind: Literal["dataverse"]
    server: str = Field(pattern=r"^[a-z0-9.-]+$")
    doi: str = Field(pattern=r"^10\.\d+/\S+$")
    version: str | None = Field(default=None, pattern=r"^\d+\.\d+$")
    files: tuple[File, ...] = Field(min_length=1)

    def gather(self, place: RawFolder) -> list[FetchedFile]:
        """List the files of the version, and download those of the entry one by one."""
        where = f"{self.server}, doi:{self.doi}"
        version = self.version or ":latest-published"
        dataset = f"{self._api}/datasets/:persistentId/versions/{version}/files"
        content = get_json(place, f"{dataset}?persistentId=doi:{self.doi}")
        chosen = choose(self.files, parse_answer(where, lambda: self._published(content)), where)
        store = f"dataverse/{self.doi.replace('/', '_')}-{self.version or 'latest'}"
        return download_all(place, store, chosen)

    @property
    def _api(self) -> str:
        return f"https://{self.server}/api"

    def _published(self, content: Any) -> list[Published]:
        found = []
        for file in content["data"]:
            data, folder = file["dataFile"], file.get("directoryLabel")
            name = f"{folder}/{file['label']}" if folder else str(file["label"])
            checksum = data["checksum"]
            hashes = {_ALGORITHMS[checksum["type"]]: str(checksum["value"])}
            url = f"{self._api}/access/datafile/{int(data['id'])}"
            found.append(Published(name, url, int(data["filesize"]), hashes))
        return found
