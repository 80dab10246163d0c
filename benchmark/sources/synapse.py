"""Files of Synapse, for whom an account has the access to them."""

from typing import ClassVar, Literal

from pydantic import Field

from benchmark.sources.files import File
from benchmark.sources.remote import Remote


class SynapseSource(Remote):
    """``entity``: a file or a folder; ``page``: where access is asked for; ``files``: which files.

    The token is taken from the variable ``SYNAPSE_AUTH_TOKEN``.
    """

    tag: ClassVar = "synapse"
    kind: Literal["synapse"]
    entity: str = Field(pattern=r"^syn\d+$")
    page: str | None = None
    files: tuple[File, ...] = Field(min_length=1)
