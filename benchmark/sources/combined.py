"""A dataset whose files come from several sources."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from benchmark.errors import UserError
from benchmark.sources.dataverse import DataverseSource
from benchmark.sources.drive import DriveSource
from benchmark.sources.fetched import Fetched
from benchmark.sources.figshare import FigshareSource
from benchmark.sources.files import File
from benchmark.sources.github import GitHubSource
from benchmark.sources.http import HttpSource
from benchmark.sources.huggingface import HuggingFaceSource
from benchmark.sources.idc import IdcSource
from benchmark.sources.manual import ManualSource
from benchmark.sources.place import ByHandError, Got, Place
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


class CombinedSource(Fetched):
    """``parts``: the sources; their files lie side by side in one folder."""

    tag: ClassVar = "combined"
    kind: Literal["combined"]
    parts: tuple[Annotated[Part, Field(discriminator="kind")], ...] = Field(min_length=2)

    @property
    def named(self) -> tuple[File, ...]:
        """The files that the parts name."""
        return tuple(file for part in self.parts for file in part.named)

    def size(self) -> tuple[float, bool]:
        """Bytes of the parts together, and whether all of them are known."""
        if self.about_gb is not None:
            return super().size()
        sizes, whole = zip(*(part.size() for part in self.parts), strict=True)
        return sum(sizes), all(whole)

    def to_do(self, place: Place) -> list[str]:
        """What is to be done for each part, one after the other."""
        return [step for part in self.parts for step in part.to_do(place)]

    def at_hand(self, place: Place) -> str:
        """What is at hand of each part."""
        return "; ".join(part.at_hand(place) for part in self.parts)

    def gather(self, place: Place) -> list[Got]:
        """Gather every part, also where another one is missing; all reasons are told."""
        got: list[Got] = []
        by_hand: list[ByHandError] = []
        failed: list[str] = []
        for part in self.parts:
            try:
                got += part.gather(place)
            except ByHandError as error:
                by_hand.append(error)
            except UserError as error:
                failed.append(str(error))
        if failed:
            raise UserError(" ".join([*failed, *map(str, by_hand)]))
        if by_hand:
            again = any(error.again for error in by_hand)
            raise ByHandError(" ".join(map(str, by_hand)), again=again)
        return got
