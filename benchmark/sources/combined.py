"""A dataset whose files come from several sources."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from benchmark.errors import UserError
from benchmark.sources.dataverse import DataverseSource
from benchmark.sources.drive import DriveSource
from benchmark.sources.fetched import FetchedSource
from benchmark.sources.figshare import FigshareSource
from benchmark.sources.files import File
from benchmark.sources.github import GitHubSource
from benchmark.sources.http import HttpSource
from benchmark.sources.huggingface import HuggingFaceSource
from benchmark.sources.idc import IdcSource
from benchmark.sources.manual import ManualSource
from benchmark.sources.raw_folder import FetchedFile, ManualStepError, RawFolder
from benchmark.sources.synapse import SynapseSource
from benchmark.sources.zenodo import ZenodoSource

Part = (
    HttpSource
    | ZenodoSource
    | FigshareSource
    | DataverseSource
    | HuggingFaceSource
    | GitHubSource
    | DriveSource
    | IdcSource
    | SynapseSource
    | ManualSource
)


class CombinedSource(FetchedSource):
    """Several sources, ``parts``, whose files are put side by side in one folder."""

    tag: ClassVar = "combined"
    kind: Literal["combined"]
    parts: tuple[Annotated[Part, Field(discriminator="kind")], ...] = Field(min_length=2)

    @property
    def listed_files(self) -> tuple[File, ...]:
        """All files that the parts name."""
        return tuple(file for part in self.parts for file in part.listed_files)

    def size(self) -> tuple[float, bool]:
        """Return the total size of the parts in bytes, and whether it is complete."""
        if self.about_gb is not None:
            return super().size()
        sizes, whole = zip(*(part.size() for part in self.parts), strict=True)
        return sum(sizes), all(whole)

    def manual_steps(self, place: RawFolder) -> list[str]:
        """Return the manual steps of all parts, one after the other."""
        return [step for part in self.parts for step in part.manual_steps(place)]

    def local_state(self, place: RawFolder) -> str:
        """Describe what is available of each part."""
        return "; ".join(part.local_state(place) for part in self.parts)

    def gather(self, place: RawFolder) -> list[FetchedFile]:
        """Gather every part, even if another one fails; the error then gives all reasons."""
        got: list[FetchedFile] = []
        by_hand: list[ManualStepError] = []
        failed: list[str] = []
        for part in self.parts:
            try:
                got += part.gather(place)
            except ManualStepError as error:
                by_hand.append(error)
            except UserError as error:
                failed.append(str(error))
        if failed:
            raise UserError(" ".join([*failed, *map(str, by_hand)]))
        if by_hand:
            again = any(error.again for error in by_hand)
            raise ManualStepError(" ".join(map(str, by_hand)), again=again)
        return got
