"""nnU-Net v2: trained on the training cases of each dataset, prompted by structure names.

It runs as a process in an environment of its own (``make nnunet``), since its dependencies conflict
with those of this project. `baselines.nnunet.driver` is what runs there.
"""

import json
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from baselines import exchange, process
from benchmark.adapter import Learner, MethodInfo, Prediction, Resources
from benchmark.errors import UserError
from benchmark.machine.machine_errors import raise_if_machine_error

if TYPE_CHECKING:
    from benchmark.learning.fitting import Case
    from benchmark.prompts import Prompt
    from benchmark.volume import Volume

DRIVER = Path(__file__).with_name("driver.py")
PYTHON = Path(__file__).parents[2] / ".venv-nnunet" / "bin" / "python"


def channel_names(named: Collection[tuple[str, ...]]) -> dict[str, str]:
    """Return channel index -> name, given the channel names of the cases.

    nnU-Net chooses its normalisation by name: CT by the intensities of all cases, anything else
    case by case. The latter applies to a channel that differs between cases, which is named after
    all of them. Raises `UserError` if cases have different numbers of channels.
    """
    if len({len(names) for names in named}) > 1:
        listed = "; ".join(sorted(", ".join(names) for names in named))
        raise UserError(
            f"nnU-Net takes as many channels of every case, and got {listed}. Next step: let it "
            "learn from datasets of the same channels."
        )
    together = ("/".join(sorted(set(names))) for names in zip(*named, strict=True))
    return {str(place): name for place, name in enumerate(together)}


def check_structures(cases: Sequence["Case"]) -> None:
    """Raise `UserError` if the datasets of ``cases`` do not all annotate the same structures."""
    named = {", ".join(sorted(case.structures)): case.dataset for case in cases}
    if len(named) > 1:
        listed = "; ".join(f"{names} (as {dataset})" for names, dataset in sorted(named.items()))
        raise UserError(
            "nnU-Net learns as background what a dataset does not annotate, so all that one model "
            f"learns from must annotate the same structures. They annotate: {listed}. Next step: "
            "let it learn from datasets of the same structures."
        )


class NnUNet(Learner):
    """Plan, train and predict through nnunetv2's Python interface.

    All training cases are in one fold, without any for validation; the final checkpoint is used.
    Test cases take no part in fingerprint and plan.
    """

    info = MethodInfo(
        summary="nnU-Net v2, trained on the training cases of each dataset",
        prompts=("structure",),
        gpu=True,
        threads=4,
        memory_mb=32000,
        out_of_process=True,
        licence="Apache-2.0 (github.com/MIC-DKFZ/nnUNet)",
        citation="doi:10.1038/s41592-020-01008-z",
    )

    class Options(Learner.Options):
        """Options of nnU-Net.

        ``configuration``: 2D slices, or 3D at full resolution.
        ``preset``: selects the planner.
        ``epochs``, ``iterations``, ``validations`` (the latter two per epoch): nnU-Net's own by
            default.
        ``mirroring``: average predictions over flips.
        ``small``: a network of three stages on patches of 32, which trains on a CPU in minutes and
            is not a fair competitor.
        ``python``: interpreter of the environment; null is that of ``make nnunet``, or
            ``PAMBENCH_NNUNET_PYTHON``.
        """

        configuration: Literal["2d", "3d_fullres"] = "3d_fullres"
        preset: Literal["default", "resenc-m", "resenc-l", "resenc-xl"] = "default"
        epochs: int = Field(default=1000, ge=1)
        iterations: int = Field(default=250, ge=1)
        validations: int = Field(default=50, ge=1)
        mirroring: bool = True
        small: bool = False
        python: str | None = None

    options: Options
    inference_options = frozenset({"mirroring", "python"})

    @property
    def _python(self) -> Path:
        named = self.options.python or os.environ.get("PAMBENCH_NNUNET_PYTHON")
        return Path(named).expanduser() if named else PYTHON

    @property
    def fit_resources(self) -> Resources:
        """More threads, for the augmentation on a GPU: 32 cores keep four GPUs busy."""
        return super().fit_resources._replace(threads=8)

    def external_state(self) -> str:
        """Tell whether the environment exists."""
        return "environment" if self._python.is_file() else "no environment"

    def missing_requirement(self) -> str | None:
        """Ask for the environment if it does not exist."""
        if self._python.is_file():
            return None
        return f"nnU-Net has no environment at {self._python}; make it with: make nnunet"

    def plan(self, cases: Sequence["Case"], structures: Sequence[str], workdir: Path) -> None:
        """Write the cases in nnU-Net's format; compute fingerprint and plan, and preprocess.

        Voxels that are not evaluated get nnU-Net's label "ignore" (the highest value), which its
        losses leave out and which it does not predict.
        """
        from benchmark import volume as volumes
        from benchmark.boxes import slices

        check_structures(cases)
        shutil.rmtree(workdir, ignore_errors=True)
        raw = workdir / "raw" / "Dataset001_cases"
        named = set()
        values = {name: value for value, name in enumerate(structures, start=1)}
        ignore: dict[str, int] = {}
        for number, case in enumerate(cases):
            image = case.volume()
            named.add(tuple(image.channels) or (image.modality,))
            for place, channel in enumerate(image.channel_arrays):
                path = raw / "imagesTr" / f"case_{number:05d}_{place:04d}.nii.gz"
                volumes.write(channel, image.spacing, path)
            path = raw / "labelsTr" / f"case_{number:05d}.nii.gz"
            labels = case.labels(structures)
            if (outside := case.not_evaluated()).voxels:
                ignore = {"ignore": len(structures) + 1}
                labels[slices(outside.box)][outside.crop] = ignore["ignore"]
            volumes.write(labels, image.spacing, path)
        content = {
            "channel_names": channel_names(named),
            "labels": {"background": 0, **values, **ignore},
            "numTraining": len(cases),
            "file_ending": ".nii.gz",
            "overwrite_image_reader_writer": "SimpleITKIO",
        }
        (raw / "dataset.json").write_text(json.dumps(content, indent=2), encoding="utf-8")
        process.run(self._command("plan", workdir, "cpu"), timeout_s=None)

    def fit(self, workdir: Path, device: str, start: Path | None) -> None:
        """Train, resuming from the checkpoint that nnU-Net writes every 50 epochs."""
        if start is not None:
            raise UserError("nnU-Net starts from random weights: leave out its key weights.")
        process.run(self._command("train", workdir, device), timeout_s=None)

    def load(self, weights: Path | None, device: str) -> None:
        """Start the program that predicts; ``weights``: the folder of the training."""
        folder = self.require_weights(weights, "the folder of a training, made by plan and train.")
        self.device = device
        command = self._command("serve", folder, device)
        self.server = process.Server(command)
        self.server.start()

    def segment(self, volume: "Volume", prompts: Sequence["Prompt"]) -> Iterator[Prediction]:
        """Predict the scan once for all prompts."""
        yield from exchange.exchange(volume, prompts, self.device, self._request)

    def _request(self, folder: Path) -> None:
        try:
            self.server.start()  # after a failure, this loads the model again
        except process.ProcessError as error:
            raise_if_machine_error(error, loading=True)
            raise
        self.server.request(str(folder))

    def _command(self, what: str, workdir: Path, device: str) -> list[str]:
        threads = (self.fit_resources if what == "train" else self.resources).threads
        options = self.options.model_dump(exclude={"python"}) | {"threads": threads}
        words = (self._python, DRIVER, what, workdir.resolve(), device, json.dumps(options))
        return [str(word) for word in words]
