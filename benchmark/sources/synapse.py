"""Files of Synapse, for accounts with access to them."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from benchmark.sources import folder
from benchmark.sources.answers import broken
from benchmark.sources.download import locked
from benchmark.sources.fetched import FetchedSource
from benchmark.sources.files import File
from benchmark.sources.manual import numbered
from benchmark.sources.patience import DownloadError, InterruptedDownloadError
from benchmark.sources.raw_folder import FetchedFile, ManualStepError, RawFolder
from benchmark.sources.records import Published, choose
from benchmark.sources.secrets import token

HOST = "www.synapse.org"
TOKEN = "SYNAPSE_AUTH_TOKEN"


class SynapseSource(FetchedSource):
    """Files of the Synapse ``entity``, a file or a folder.

    ``page`` is where to request access, and ``files`` selects files. The token is read from the
    environment variable ``SYNAPSE_AUTH_TOKEN``.
    """

    tag: ClassVar = "synapse"
    kind: Literal["synapse"]
    entity: str = Field(pattern=r"^syn\d+$")
    page: str | None = None
    files: tuple[File, ...] = Field(min_length=1)

    def local_state(self, place: RawFolder) -> str:
        """Describe whether the client and the token are available."""
        client = "client" if find_spec("synapseclient") else "no client"
        return f"{client}, {'token' if token(TOKEN) else 'no token'}"

    def manual_steps(self, place: RawFolder) -> list[str]:
        """Return how to get access, while the token or the client is missing."""
        there = token(TOKEN) and find_spec("synapseclient")
        return [*super().manual_steps(place), *([] if there else self._access())]

    def _access(self) -> list[str]:
        page = self.page or f"https://{HOST}/Synapse:{self.entity}"
        client = "install its client: pip install synapseclient"
        return [
            f"ask for access at {page} with an account of Synapse",
            f"make a token that may view and download, and export {TOKEN}",
            *([] if find_spec("synapseclient") else [client]),
            "run again",
        ]

    def gather(self, place: RawFolder) -> list[FetchedFile]:
        """Download the entity with the Synapse client, which checks each file."""
        secret = token(TOKEN)
        if secret is None or not find_spec("synapseclient"):
            raise ManualStepError(f"To be done by hand: {numbered(self._access())}")
        root = place.downloads / "synapse" / self.entity
        with locked(root), place.host_slot(HOST):
            place.patience.retry(self.entity, lambda: self._download(root, secret))
        # unpack elsewhere: every file in this folder counts as published
        unpacked = root.with_name(f"{self.entity}.unpacked")
        names = [path.relative_to(root).as_posix() for path in folder.listing(root)]
        published = [Published(name, HOST) for name in names]
        chosen = choose(self.files, published, f"Synapse {self.entity}")
        return [
            FetchedFile(root / one.name, one.name, file, unpacked / one.name, verified=True)
            for file, one in chosen
        ]

    def _download(self, root: Path, secret: str) -> None:
        import synapseclient
        import synapseutils
        from synapseclient.core import exceptions

        root.mkdir(parents=True, exist_ok=True)
        client: Any = synapseclient.Synapse(silent=True)
        try:
            client.login(authToken=secret, silent=True)
            synapseutils.syncFromSynapse(client, self.entity, path=str(root), manifest="suppress")
        except (
            exceptions.SynapseAuthenticationError,
            exceptions.SynapseUnmetAccessRestrictions,
        ):
            raise ManualStepError(
                f"The token in {TOKEN} has no access to {self.entity}: {numbered(self._access())}",
                again=True,
            ) from None
        except exceptions.SynapseHTTPError as error:
            status = getattr(error.response, "status_code", 0)
            if status in (429, 500, 502, 503, 504):
                raise InterruptedDownloadError(f"{HOST} answered {status}") from None
            raise DownloadError(
                f"{HOST} answered {status} for {self.entity}: look at {self.page or HOST}."
            ) from None
        except OSError as error:
            raise broken(HOST, error) from None
