"""The training loop: one process, or several that torchrun starts."""

import csv
import os
import sysconfig
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from shutil import which
from typing import cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from tqdm import tqdm

from benchmark.errors import UserError
from benchmark.files import atomic, write_json
from benchmark.record import run_record
from pam import checkpoints
from pam.network import Network
from pam.propagation import lead
from pam.training.batches import batches
from pam.training.recipe import Recipe
from pam.training.state import State, fingerprint
from pam.training.tasks import Task

CHECKPOINT, CURVE, RECORD = "checkpoint.pt", "curve.csv", "record.json"
_COLUMNS = ("step", "loss", "rate", "seconds")


def train(
    recipe: Recipe,
    out: Path,
    *,
    resume: bool = False,
    start: Network | None = None,
    device: str | None = None,
    workers: int = 1,
    stop: int | None = None,
) -> Path:
    """Train by a recipe; returns the path of the weights, ``<kind>.safetensors`` in ``out``.

    Beside them end `CHECKPOINT`, `CURVE` (loss by step) and `RECORD` (recipe, machine, versions).
    ``resume``: go on from the checkpoint, if there is one; the result is that of an undisturbed
    run, on one CPU thread bit for bit, on several or a GPU but for roundings. ``start``: weights to
    begin with. ``workers``: processes that make batches; they change nothing in the result.
    ``stop``: step to leave off at before the last.
    Under torchrun each process has ``recipe.batch`` tasks a step of its own, and gradients are
    averaged. Raises `UserError` for a folder that is in use, and as `State.load`, `Prepared.check`
    and `check_compiler` do.
    """
    rank, world = (int(os.environ.get(name, d)) for name, d in (("RANK", "0"), ("WORLD_SIZE", "1")))
    device = chosen(device)
    if recipe.data.kind == "prepared":
        recipe.data.check()  # what a process that makes batches raises comes with its traceback
    if recipe.compiled:
        check_compiler(device)
    together = world > 1 and not dist.is_initialized()
    if together:
        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    state = State(recipe, device, world)
    path = out / CHECKPOINT
    if path.exists() and not resume:
        raise UserError(
            f"{out} holds a training already. Go on with it by --resume, or take another folder."
        )
    if path.exists():
        state.load(path)
        if start is not None and state.began != fingerprint(start):
            raise UserError(
                f"{path} began with other weights than those given. Start anew in another folder, "
                "or delete it."
            )
    elif start is not None:
        state.start_from(start)
    model: nn.Module = state.network
    if recipe.compiled:  # bfloat16 is multiplied fastest so; gradients are then laid out alike
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if world > 1:
        model = nn.parallel.DistributedDataParallel(model, find_unused_parameters=_idle(recipe))
    if recipe.compiled:
        model = cast(nn.Module, torch.compile(model, dynamic=False))
    curve = Curve(out / CURVE, state.step) if rank == 0 else None
    last = min(stop or recipe.steps, recipe.steps)
    with tqdm(total=last, initial=state.step, unit="step", disable=rank > 0, mininterval=5) as bar:
        for batch in batches(recipe, state.step, rank, world, workers):
            if state.step >= last:
                break
            loss = loss_of(model, batch, recipe, device, state.step)
            loss.backward()  # type: ignore[no-untyped-call]
            rate = state.update()
            bar.update()
            if curve is None:
                continue
            curve.add(state.step, loss.detach(), rate)
            if state.step % recipe.curve == 0 or state.step == recipe.steps:
                bar.set_postfix_str(f"loss {curve.write():.4f}", refresh=False)
            if state.step % recipe.checkpoint == 0 or state.step == last:
                state.save(path)
    weights = out / f"{recipe.kind}.safetensors"
    if rank == 0:
        checkpoints.save(state.result(), weights)
        content = {"recipe": recipe.model_dump(mode="json"), "step": state.step, "processes": world}
        write_json(out / RECORD, {**content, "device": device, "run": run_record()})
    if together:  # NCCL warns of one that is left
        dist.destroy_process_group()
    return weights


def _idle(recipe: Recipe) -> bool:
    """Whether parts of the network take no part: nothing looks at what the mask's encoder reads."""
    return recipe.kind == "propmask" and not (recipe.network.attended or recipe.network.prior)


def check_compiler(device: str) -> None:
    """Raise `UserError` where what `torch.compile` builds with on ``device`` is missing.

    On a CPU that is a C++ compiler. On a GPU Triton builds a module of Python that loads the
    kernels, with a C compiler and the headers of Python.
    """
    gpu = device.startswith("cuda")
    names = ("CC", "gcc", "clang") if gpu else ("CXX", "g++", "clang++")
    header = Path(sysconfig.get_path("include", "posix_prefix"), "Python.h")
    missing = ""
    if not any(which(name) for name in (os.environ.get(names[0], names[1]), names[2])):
        missing = f"a {'C' if gpu else 'C++'} compiler ({names[1]} or {names[2]})"
    elif gpu and not header.exists():
        missing = f"Python's headers ({header})"
    if missing:
        raise UserError(
            f"`compiled` of the recipe needs {missing}, and there is nothing of it here. Install "
            "that, or set `compiled` to false: what differs is the speed, and roundings."
        )


class Curve:
    """The mean loss since the row before, every so many steps, as a CSV file."""

    def __init__(self, path: Path, step: int) -> None:
        """Go on with the rows up to ``step`` of the file, if there are any."""
        self.path = path
        self.rows: list[Sequence[str]] = [_COLUMNS]
        if step and path.exists():
            with path.open(encoding="utf-8", newline="") as file:
                self.rows += [row for row in list(csv.reader(file))[1:] if int(row[0]) <= step]
        self.losses: list[Tensor] = []
        self.started = time.perf_counter()

    def add(self, step: int, loss: Tensor, rate: float) -> None:
        """Take in the loss of a step."""
        self.losses.append(loss)
        self.step, self.rate = step, rate

    def write(self) -> float:
        """Write a row of the steps since the one before; returns their mean loss."""
        mean = float(torch.stack(self.losses).mean())
        now = time.perf_counter()
        seconds = (now - self.started) / len(self.losses)
        self.rows.append((str(self.step), f"{mean:.6f}", f"{self.rate:.3e}", f"{seconds:.3f}"))
        self.losses, self.started = [], now
        with atomic(self.path) as temporary, temporary.open("w", encoding="utf-8", newline="") as f:
            csv.writer(f).writerows(self.rows)
        return mean


def loss_of(model: nn.Module, batch: Task, recipe: Recipe, device: str, step: int) -> Tensor:
    """Compute the loss of a batch under a recipe at a step; ``model`` is on ``device``."""
    batch = Task(*(x.to(device, non_blocking=True) for x in batch.tensors))
    kind = torch.device(device).type
    mixed = recipe.precision == "bfloat16"
    with torch.autocast(kind, torch.bfloat16, enabled=mixed):
        if recipe.kind == "propmask":
            memory = None
            if recipe.chains(step):
                if recipe.remembers:
                    memory = _scaled(batch.image), batch.mask.float()
                batch = chained(model, batch)
                # Older torch would go on with the casts of that look, which know of no gradient
                # (github.com/pytorch/pytorch/issues/158232).
                torch.clear_autocast_cache()
            logits = _carried(model, batch, memory)
            logits = [scale.flatten(0, 1) for scale in logits]
        else:
            logits = model(_scaled(batch.image))
    return recipe.loss(logits, batch.target.flatten(0, 1))


@torch.no_grad()
def chained(model: nn.Module, batch: Task) -> Task:
    """Make what the network marks on the nearest slice the guide to the others.

    So it learns from its own errors, as the later rounds of a propagation make them. Where it marks
    nothing, the guide stays.
    """
    nearest, others = (
        replace(
            batch,
            adjacent=batch.adjacent[:, part],
            distance=batch.distance[:, part],
            target=batch.target[:, part],
        )
        for part in (slice(1), slice(1, None))
    )
    size = (batch.mask.shape[-2], batch.mask.shape[-1])
    marked = lead(_carried(model, nearest), size, "probabilities") > 0
    moved = marked.flatten(1).any(dim=1)
    here = moved[:, None, None, None]
    return replace(
        others,
        image=torch.where(here, nearest.adjacent[:, 0], batch.image),
        mask=torch.where(here, marked, batch.mask),
        distance=others.distance - moved[:, None] * nearest.distance,
    )


def _carried(
    model: nn.Module, batch: Task, memory: tuple[Tensor, Tensor] | None = None
) -> list[Tensor]:
    """Logits of PropMask for the slices that a batch asks for."""
    logits: list[Tensor] = model(
        _scaled(batch.image),
        batch.mask.float(),
        _scaled(batch.adjacent),
        distance=batch.distance.abs(),
        memory=memory,
    )
    return logits


def _scaled(grey: Tensor) -> Tensor:
    """Grey levels 0..255 to -1..1, as `pam.preprocess.images` gives them."""
    return (grey.float() - 127.5) / 127.5


def chosen(device: str | None) -> str:
    """Give the device of this process for ``cpu``, ``cuda`` or None, a GPU if there is one.

    Raises `UserError` for a GPU that is not there, and for any other word.
    """
    if device not in (None, "cpu", "cuda"):
        raise UserError(f"Unknown device {device!r}; expected cpu or cuda.")
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("torch sees no GPU here. Use --device cpu, or fix the GPU set-up.")
    if device == "cpu" or not torch.cuda.is_available():
        return "cpu"
    # A process that took a GPU for itself sees that one alone, whatever its rank.
    device = f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % torch.cuda.device_count()}"
    torch.cuda.set_device(device)
    return device
