"""Template of an adapter: copy this file, rename the class, fill in the three blanks.

docs/add-a-method.md walks through it with an example that runs. Import heavy libraries (torch,
SimpleITK, skimage) inside `load` and `segment`, never at the top of the file: methods are listed
and study files are checked without them.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.adapter import Adapter, MethodInfo, Prediction
from benchmark.errors import UserError

if TYPE_CHECKING:
    from benchmark.prompts import Prompt
    from benchmark.volume import Volume


class Template(Adapter):
    """Your method in one sentence."""

    # ---- Blank 1: what is known about the method without running it -------------------------
    # `prompts`: the kinds it takes, of "box2d", "mask2d", "box3d" and "structure". Increase
    # `version` whenever its results change, so that old results are not taken for new ones. Add
    # `gpu`, `threads` and `memory_mb` of a job, the `weights` entry that it needs, and the
    # `licence` and `citation` of the code.
    info = MethodInfo(
        summary="(fill in: one line)", prompts=("box2d", "mask2d", "box3d"), version=1
    )

    class Options(Adapter.Options):
        """Options of the study file: typed fields with defaults, e.g. ``level: int = 1``."""

    options: Options

    # ---- Blank 2: load the model, once per job ----------------------------------------------
    # `weights`: the file named in the study file, already fetched and verified, or None. `device`:
    # "cpu" or "cuda". Keep the model on `self`. Delete this method if there is nothing to load.
    def load(self, weights: Path | None, device: str) -> None:
        """Load the model onto ``device``."""
        raise UserError(f"{type(self).__name__}: blank 2 (load) is not filled in.")

    # ---- Blank 3: segment all the objects of one scan ---------------------------------------
    # `volume.grey`: (z, y, x), read only; `volume.spacing`: (z, y, x) in mm; `volume.modality`.
    # A prompt has `kind` and `box`, half-open (z0, z1, y0, y1, x0, x1) in voxels; 2D prompts also
    # have `axis` and `slice`; mask2d `mask` and `plane`; structure `structure`, the name, with the
    # whole grid as `box`. Yield one `Prediction` per prompt, in order:
    #     Prediction(mask)                    bool (z, y, x), the shape of `volume.grey`
    #     Prediction(part, offset=(z, y, x))  a part of that grid and its first voxel
    #     Prediction(failure="reason")        if the method failed on this prompt
    def segment(self, volume: "Volume", prompts: Sequence["Prompt"]) -> Iterator[Prediction]:
        """Yield one mask per prompt, in order."""
        raise UserError(f"{type(self).__name__}: blank 3 (segment) is not filled in.")
