"""A dataset whose files come from several sources."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from benchmark.sources.dataverse import DataverseSource
from benchmark.sources.drive import DriveSource
from benchmark.sources.figshare import FigshareSource
from benchmark.sources.github import GitHubSource
from benchmark.sources.http import HttpSource
from benchmark.sources.huggingface import HuggingFaceSource
from benchmark.sources.idc import IdcSource
from benchmark.sources.manual import ManualSource
from benchmark.sources.remote import Remote
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


class CombinedSource(Remote):
    """``parts``: the sources; their files lie side by side in one folder."""

    tag: ClassVar = "combined"
    kind: Literal["combined"]
    parts: tuple[Annotated[Part, Field(discriminator="kind")], ...] = Field(min_length=2)
