"""Single files of a GitHub repository at a pinned commit."""

from typing import Any, ClassVar, Literal
from urllib.parse import quote

from pydantic import Field

from benchmark.sources.fetched import FetchedSource
from benchmark.sources.files import File
from benchmark.sources.patience import DownloadError
from benchmark.sources.raw_folder import FetchedFile, RawFolder
from benchmark.sources.records import Published, choose, download_all, get_json, parse_answer

API = "https://api.github.com/repos"
FILES = "https://raw.githubusercontent.com"
_LINK = "120000"


class GitHubSource(FetchedSource):
    """Files of a GitHub repository at a commit.

    ``repo`` is ``owner/name``, ``commit`` a full hash, and ``files`` selects files. Each file is
    checked against its git blob hash.
    """

    tag: ClassVar = "github"
    kind: Literal["github"]
    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    commit: str = Field(pattern=r"^[0-9a-f]{40}$")
    files: tuple[File, ...] = Field(min_length=1)

    def gather(self, place: RawFolder) -> list[FetchedFile]:
        """List the tree of the commit, and download the files of the entry one by one."""
        where = f"GitHub {self.repo} at {self.commit[:10]}"
        content = get_json(place, f"{API}/{self.repo}/git/trees/{self.commit}?recursive=1")
        chosen = choose(self.files, parse_answer(where, lambda: self._published(content)), where)
        return download_all(place, f"github/{self.repo}/{self.commit[:12]}", chosen)

    def _published(self, content: Any) -> list[Published]:
        if content.get("truncated"):
            raise DownloadError(f"GitHub does not list all files of {self.repo}: take its archive.")
        return [
            Published(
                str(file["path"]),
                f"{FILES}/{self.repo}/{self.commit}/{quote(file['path'])}",
                int(file["size"]),
                {"git": str(file["sha"])},
            )
            for file in content["tree"]
            if file["type"] == "blob" and file["mode"] != _LINK
        ]
