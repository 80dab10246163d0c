"""Repositories of Hugging Face at a pinned revision."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from benchmark.sources.answers import broken
from benchmark.sources.fetched import FetchedSource
from benchmark.sources.files import File
from benchmark.sources.patience import DownloadError, InterruptedDownloadError
from benchmark.sources.raw_folder import FetchedFile, ManualStepError, RawFolder
from benchmark.sources.records import Published, choose, download_all
from benchmark.sources.secrets import token

HOST = "huggingface.co"
TOKEN = "HF_TOKEN"
_TIMEOUT = 30.0


class HuggingFaceSource(FetchedSource):
    """Files of a Hugging Face repository at a revision.

    ``repo`` is ``owner/name``, ``revision`` a full commit hash, and ``files`` selects files. Gated
    repositories use the token in the environment variable ``HF_TOKEN``.
    """

    tag: ClassVar = "huggingface"
    kind: Literal["huggingface"]
    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    type: Literal["dataset", "model"] = "dataset"
    revision: str = Field(pattern=r"^[0-9a-f]{40}$")
    files: tuple[File, ...] = Field(min_length=1)

    @property
    def page(self) -> str:
        """Web page of the repository, where its terms are accepted."""
        return f"https://{HOST}/{'datasets/' if self.type == 'dataset' else ''}{self.repo}"

    def local_state(self, place: RawFolder) -> str:
        """Describe whether there is a token, which the repository may require."""
        return "remote, with a token" if token(TOKEN) else "remote"

    def gather(self, place: RawFolder) -> list[FetchedFile]:
        """List the files of the revision, and download those of the entry."""
        with place.host_slot(HOST):
            published = place.patience.retry(self.page, self._published)
        chosen = choose(self.files, published, f"{self.page} at {self.revision[:10]}")
        store = f"huggingface/{self.type}s/{self.repo}/{self.revision[:12]}"
        return download_all(place, store, chosen)

    def _published(self) -> list[Published]:
        from huggingface_hub import HfApi, hf_hub_url
        from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

        library: Any = HfHubHTTPError.__mro__[1]  # base error of the HTTP library in use
        secret = token(TOKEN)
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        where: Any = {"revision": self.revision, "repo_type": self.type}
        # False: use no other token than that of the variable, such as one of an earlier login
        api = HfApi(token=secret or False)
        try:
            # list_repo_tree would retry by itself for a long time, below our own retries
            about: Any = api.repo_info(self.repo, files_metadata=True, timeout=_TIMEOUT, **where)
            if about.gated:
                api.auth_check(self.repo, repo_type=self.type)
        except (GatedRepoError, RepositoryNotFoundError):
            raise ManualStepError(
                f"1. Open {self.page} with an account, and accept its terms. 2. Make a token that "
                f"may read, and export {TOKEN}. 3. Run again.",
                again=secret is not None,
            ) from None
        except HfHubHTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            if status in (408, 429) or status >= 500:
                raise InterruptedDownloadError(f"{HOST} answered {status}") from None
            raise DownloadError(
                f"{self.page} answered {status}: look at it in a browser."
            ) from None
        except (OSError, library) as error:
            raise broken(HOST, error) from None
        return [
            Published(
                item.rfilename,
                hf_hub_url(self.repo, item.rfilename, **where),
                item.size,
                {"sha256": item.lfs.sha256} if item.lfs else {"git": item.blob_id},
                headers,
            )
            for item in about.siblings
        ]
