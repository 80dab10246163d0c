"""Files shared on Google Drive."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from benchmark.sources.answers import broken, is_page
from benchmark.sources.checks import already_there, give_receipt
from benchmark.sources.download import locked
from benchmark.sources.fetched import FetchedSource
from benchmark.sources.files import File
from benchmark.sources.patience import DownloadError
from benchmark.sources.raw_folder import FetchedFile, RawFolder, already_unpacked

HOST = "drive.google.com"


class DriveFile(File):
    """A file on Google Drive; ``id`` is the one in its address."""

    id: str = Field(pattern=r"^[\w-]{10,}$")

    @model_validator(mode="after")
    def _has_one_name(self) -> "DriveFile":
        if self.many:
            raise ValueError("a file on Google Drive has one name, without wildcards")
        return self


class DriveSource(FetchedSource):
    """Files on Google Drive, with their ids."""

    tag: ClassVar = "drive"
    kind: Literal["drive"]
    files: tuple[DriveFile, ...] = Field(min_length=1)

    def gather(self, place: RawFolder) -> Iterator[FetchedFile]:
        """Download the files with gdown, and check them."""
        for file in self.files:
            path = place.downloads / "drive" / file.id / file.name
            got = FetchedFile(path, file.name, file, verified=bool(file.hashes))
            with locked(got.path):
                if not already_unpacked(got) and not already_there(got.path, file.expected):
                    with place.host_slot(HOST):
                        place.patience.retry(file.name, partial(_download, file, got.path))
            yield got


def _download(file: DriveFile, target: Path) -> None:
    import gdown
    import requests
    from gdown.exceptions import FileURLRetrievalError

    arriving = target.parent / f".{target.name}.arriving"
    page = f"https://{HOST}/file/d/{file.id}/view"
    by_hand = f"Try again in a day, or open {page} in a browser and save the file as {target}."
    try:
        gdown.download(id=file.id, output=str(arriving), resume=True, use_cookies=False)
    except (requests.ConnectionError, requests.Timeout) as error:
        raise broken(HOST, error) from None
    except (FileURLRetrievalError, requests.RequestException):
        raise DownloadError(
            f"Google Drive refuses to send {file.name}: too many people have downloaded it lately, "
            f"or it is no longer shared. {by_hand}"
        ) from None
    if arriving.stat().st_size < 1 << 20 and is_page(arriving.read_bytes()):
        arriving.unlink()
        raise DownloadError(f"Google Drive sent a web page instead of {file.name}. {by_hand}")
    difference, hashes = file.expected.check(arriving)
    if difference is not None:
        arriving.unlink()
        raise DownloadError(
            f"{file.name} from Google Drive is not the published file: {difference}. It was "
            f"deleted. {by_hand}"
        )
    give_receipt(arriving, target, hashes)
    arriving.replace(target)
