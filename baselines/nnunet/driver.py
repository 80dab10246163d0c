"""Runs in nnU-Net's own environment: ``driver.py plan|train|serve WORKDIR DEVICE OPTIONS``.

Imports nothing of this project. nnU-Net's worker processes import this file anew, hence the guard
at its end. Only the plain trainer is used, with its attributes set: any other name makes nnU-Net
import all of its trainers, and with them torchvision, which may not match torch.
"""

import atexit
import gc
import json
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

DATASET = "Dataset001_cases"
PLANNERS = {
    "default": ("ExperimentPlanner", "nnUNetPlans"),
    "resenc-m": ("nnUNetPlannerResEncM", "nnUNetResEncUNetMPlans"),
    "resenc-l": ("nnUNetPlannerResEncL", "nnUNetResEncUNetLPlans"),
    "resenc-xl": ("nnUNetPlannerResEncXL", "nnUNetResEncUNetXLPlans"),
}


def plan(work: Path, options: dict[str, Any]) -> None:
    """Compute the fingerprint and the plan of the cases in ``raw``, and preprocess them.

    nnU-Net's integrity check is skipped: it reads each case twice more to find what preparing the
    scans already refused (NaN, different grids, unexpected labels).
    """
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprints,
        plan_experiments,
        preprocess,
    )

    planner, plans = PLANNERS[options["preset"]]
    workers = processes(options)
    extract_fingerprints([1], num_processes=workers)
    plan_experiments([1], experiment_planner_class_name=planner)
    if options["small"]:
        shrink(work / "preprocessed" / DATASET / f"{plans}.json", options["configuration"])
    preprocess([1], plans, (options["configuration"],), [workers])


def variables(what: str, device: str, options: dict[str, Any]) -> dict[str, str]:
    """Return nnU-Net's environment variables; a user's own settings take precedence.

    On a CPU, training augments in the main process and so is reproducible. Only training is
    compiled: nnU-Net's predictor is not by default, and would compile again for each input shape.
    """
    alone = what == "train" and device == "cpu"
    return {
        "nnUNet_compile": "t" if what == "train" and device == "cuda" else "f",
        "nnUNet_n_proc_DA": "0" if alone else str(processes(options)),
    }


def processes(options: dict[str, Any]) -> int:
    """Return the number of worker processes: the job's threads, at most the available cores."""
    return 1 if options["small"] else min(options["threads"], len(os.sched_getaffinity(0)))


def shrink(path: Path, configuration: str) -> None:
    """Replace the planned network by one of three stages on patches of at most 32."""
    plans = json.loads(path.read_text(encoding="utf-8"))
    plan = plans["configurations"][configuration]
    plan["patch_size"] = [min(32, size) for size in plan["patch_size"]]
    plan["patch_size"] = [max(size // 4 * 4, 4) for size in plan["patch_size"]]
    plan["batch_size"] = 2
    network = plan["architecture"]["arch_kwargs"]
    axes = len(plan["patch_size"])
    network["n_stages"], network["features_per_stage"] = 3, [8, 16, 32]
    network["kernel_sizes"] = [[3] * axes] * 3
    network["strides"] = [[1] * axes, [2] * axes, [2] * axes]
    for name, count in (("n_conv_per_stage", 3), ("n_blocks_per_stage", 3)):
        if name in network:
            network[name] = network[name][:count]
    network["n_conv_per_stage_decoder"] = network["n_conv_per_stage_decoder"][:2]
    path.write_text(json.dumps(plans, indent=2), encoding="utf-8")


def train(device: str, options: dict[str, Any]) -> None:
    """Train on all cases, from the last checkpoint if there is one."""
    import torch
    from nnunetv2.run.run_training import get_trainer_from_args

    if device == "cpu":
        seed(0)
    trainer = get_trainer_from_args(
        DATASET,
        options["configuration"],
        "all",
        "nnUNetTrainer",
        PLANNERS[options["preset"]][1],
        device=torch.device(device),
    )
    trainer.num_epochs = options["epochs"]
    trainer.num_iterations_per_epoch = options["iterations"]
    trainer.num_val_iterations_per_epoch = options["validations"]
    trainer.save_every = min(trainer.save_every, max(options["epochs"] // 2, 1))
    save_whole(trainer)
    folder = Path(trainer.output_folder)
    if is_whole(folder / "checkpoint_final.pth"):
        return
    for name in ("latest", "best"):  # the order in which nnU-Net itself resumes
        if is_whole(path := folder / f"checkpoint_{name}.pth"):
            trainer.load_checkpoint(str(path))
            print(f"goes on after epoch {trainer.current_epoch}", file=sys.stderr)
            break
    if device == "cuda":  # as in nnU-Net's run_training, which is not called here
        torch.backends.cudnn.deterministic = False
        torch.backends.cudnn.benchmark = True
    trainer.run_training()


def save_whole(trainer: Any) -> None:
    """Make the trainer write checkpoints atomically, so that a kill spares the last one."""
    save = trainer.save_checkpoint

    def whole(filename: str) -> None:
        save(f"{filename}.part")
        Path(f"{filename}.part").replace(filename)

    trainer.save_checkpoint = whole


def is_whole(path: Path) -> bool:
    """Whether a checkpoint exists and is intact; a damaged one is reported on standard error."""
    if not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as checkpoint:  # torch writes zip archives
            damaged = checkpoint.testzip() is not None
    except zipfile.BadZipFile:
        damaged = True
    if damaged:
        print(f"{path} is damaged, and passed over", file=sys.stderr)
    return not damaged


def seed(number: int) -> None:
    """Make training without worker processes reproducible."""
    import random

    import numpy as np
    import torch

    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)


def serve(work: Path, device: str, options: dict[str, Any]) -> None:
    """Predict the scans whose folders arrive on standard input; see docs/external-methods.md."""
    import torch
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    answers, sys.stdout = sys.stdout, sys.stderr  # keep what nnU-Net prints out of the answers
    predictor = nnUNetPredictor(
        use_mirroring=options["mirroring"],
        perform_everything_on_device=device == "cuda",
        device=torch.device(device),
        allow_tqdm=False,
    )
    trained = f"nnUNetTrainer__{PLANNERS[options['preset']][1]}__{options['configuration']}"
    model = work / "results" / DATASET / trained
    predictor.initialize_from_trained_model_folder(str(model), ("all",), "checkpoint_final.pth")
    values = predictor.dataset_json["labels"]
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        try:
            predict(predictor, SimpleITKIO(), values, Path(line.strip()))
            answer = "done"
        except Exception as error:
            answer = f"error {type(error).__name__}: {' '.join(str(error).split())}"
        print(answer, file=answers, flush=True)


def predict(predictor: Any, reader: Any, values: dict[str, int], folder: Path) -> None:
    """Write a mask for each structure that is asked for."""
    import numpy as np
    import SimpleITK as sitk

    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    images = [str(folder / name) for name in job["images"]]
    array, properties = reader.read_images(images)
    labels = predictor.predict_single_npy_array(array, properties, None, None, False)
    grid = sitk.ReadImage(images[0])
    failures = {}
    for prompt in job["prompts"]:
        if prompt["structure"] not in values:
            failures[str(prompt["id"])] = "no training case had this structure"
            continue
        mask = (labels == values[prompt["structure"]]).astype(np.uint8)
        written = sitk.GetImageFromArray(mask)
        written.CopyInformation(grid)
        sitk.WriteImage(written, str(folder / "masks" / f"{prompt['id']}.nii.gz"))
    (folder / "failures.json").write_text(json.dumps(failures), encoding="utf-8")


def main() -> None:
    """Set nnU-Net's folders below the working folder, then run the command."""
    # The collection at exit, over all that nnU-Net imports, takes a second of CPU time.
    atexit.register(gc.freeze)
    what, folder, device, given = sys.argv[1:]
    work, options = Path(folder), json.loads(given)
    for name in ("raw", "preprocessed", "results"):
        os.environ[f"nnUNet_{name}"] = str(work / name)
        (work / name).mkdir(parents=True, exist_ok=True)
    for name, value in variables(what, device, options).items():
        os.environ.setdefault(name, value)
    if what == "plan":
        plan(work, options)
    elif what == "train":
        train(device, options)
    else:
        serve(work, device, options)


if __name__ == "__main__":
    main()
