"""Exchange with a method in another program: one folder per scan, files in and files out.

docs/external-methods.md describes the format for authors of such programs.
"""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.adapter import Prediction
from benchmark.errors import UserError
from benchmark.machine.machine_errors import raise_if_machine_error
from benchmark.storage.files import read_json, write_json

if TYPE_CHECKING:
    from benchmark.prompts import Prompt
    from benchmark.volume import Volume

VERSION = 1


def exchange(
    volume: "Volume", prompts: Sequence["Prompt"], device: str, run: Callable[[Path], None]
) -> Iterator[Prediction]:
    """Write the folder of a scan, let ``run`` work in it, and yield a prediction per prompt.

    An exception of ``run`` becomes a failure of every prompt, with its message; a mask that is
    missing, broken or on another grid, a failure of its prompt. Trouble of the machine raises
    `MachineError`, since a program that keeps running would meet it in all later scans.
    """
    folder = Path(tempfile.mkdtemp(prefix="pambench-"))
    try:
        write(folder, volume, prompts, device)
        image = _header(folder)  # now, since the program may change or delete what it was given
        try:
            run(folder)
            path = folder / "failures.json"
            failures = read_json(path) if path.is_file() else {}
            if not isinstance(failures, dict):
                raise UserError("failures.json holds no object of reasons by the ids of prompts")
        except (RuntimeError, UserError) as error:
            raise_if_machine_error(error)
            for _ in prompts:
                yield Prediction(failure=str(error).replace(f"{folder}/", ""))
            return
        for number in range(len(prompts)):
            if str(number) in failures:
                yield Prediction(failure=str(failures[str(number)]))
                continue
            try:
                yield Prediction(_mask(folder / "masks", str(number), image))
            except UserError as error:
                yield Prediction(failure=str(error).replace(f"{folder}/", ""))
    finally:
        # A container may leave files of another user, which cannot be deleted; no mask is lost.
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            advice = "have the program write as the user who runs it"
            print(f"{folder} could not be deleted whole: {advice}.", file=sys.stderr)


def write(folder: Path, volume: "Volume", prompts: Sequence["Prompt"], device: str) -> None:
    """Write ``job.json``, one image per channel and the prompts' masks; create ``masks/``."""
    from benchmark import volume as volumes
    from benchmark.prompts import Mask2D

    grid = volume.native.canonical if volume.native else volume.spacing
    images = []
    for number, channel in enumerate(volume.channel_arrays):
        images.append(f"image_{number:04d}.nii.gz")
        volumes.write(channel, grid, folder / images[-1])
    described = []
    for number, prompt in enumerate(prompts):
        about: dict[str, Any] = {"id": number, "kind": prompt.kind, "box": list(prompt.box)}
        for field in ("axis", "slice", "structure"):
            if hasattr(prompt, field):
                about[field] = getattr(prompt, field)
        if isinstance(prompt, Mask2D):
            about["mask"] = f"prompt_{number}.nii.gz"
            volumes.write(prompt.mask.dense(), grid, folder / about["mask"])
        described.append(about)
    content = {
        "version": VERSION,
        "images": images,
        "modality": volume.modality,
        "channels": list(volume.channels),
        "shape": list(volume.shape),
        "spacing": list(volume.spacing),
        "device": device,
        "prompts": described,
    }
    write_json(folder / "job.json", content)
    (folder / "masks").mkdir()


def _header(folder: Path) -> Any:
    from benchmark.volume import read_header

    return read_header(folder / "image_0000.nii.gz")


def _mask(folder: Path, name: str, image: Any) -> Any:
    from benchmark import volume as volumes
    from benchmark.geometry import same_grid

    found = [path for suffix in volumes.SUFFIXES if (path := folder / f"{name}{suffix}").is_file()]
    if not found:
        raise UserError(f"no mask: masks/{name}.nii.gz was not written")
    mask = volumes.read_labels(found[0])
    if difference := same_grid(image, mask):
        raise UserError(f"masks/{found[0].name} is not on the grid of the image. {difference}")
    return mask.array != 0
