"""The training loop, in one process or in several started by torchrun."""

import csv
import os
import socket
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
from benchmark.storage.files import atomic, write_json
from benchmark.storage.record import run_record
from pam import checkpoints
from pam.network import Network
from pam.propagation import foreground_margin
from pam.training.batches import batches
from pam.training.recipe import Recipe
from pam.training.state import TrainingState, diverged, fingerprint
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

    The folder ``out`` also receives `CHECKPOINT`, `CURVE` (loss by step) and `RECORD` (recipe,
    machine, versions).

    ``resume``: continue from the checkpoint if there is one. The result is that of an uninterrupted
    run: bit for bit on one CPU thread, up to rounding on several or on a GPU. ``start``: network
    whose weights to start from. ``workers``: processes that make batches; they do not affect the
    result. ``stop``: step at which to stop before the last. Under torchrun each process has
    ``recipe.batch`` tasks per step, and gradients are averaged.

    Raises `UserError` for a folder that is in use, a checkpoint that began with other weights than
    ``start``, a recipe with ``keep_start`` without ``start``, a training that diverges (it leaves
    the last checkpoint as it is), and as `TrainingState.load`, `Prepared.check`, `PropTasks.check`,
    `check_compiler` and `check_distinct` do.
    """
    rank, world = (int(os.environ.get(name, d)) for name, d in (("RANK", "0"), ("WORLD_SIZE", "1")))
    device = resolve_device(device)
    # Here, since errors of worker processes come with a traceback.
    if recipe.data.kind == "prepared":
        recipe.data.check()
    if recipe.kind == "propmask":
        recipe.tasks.check()
    if recipe.compiled:
        check_compiler(device)
    together = world > 1 and not dist.is_initialized()
    if together:
        on_gpus = device.startswith("cuda")
        dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpus else "gloo")
        if on_gpus:
            _check_gpus(device, world)
    path = out / CHECKPOINT
    state = TrainingState(recipe, device, world)
    _restore(state, path, resume=resume, start=start)
    model = _training_module(state.network, recipe, world)
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
            saves = state.step % recipe.checkpoint == 0 or state.step == last
            if saves:
                curve.check()
                state.check()
            if state.step % recipe.curve == 0 or state.step == recipe.steps:
                bar.set_postfix_str(f"loss {curve.write():.4f}", refresh=False)
            if saves:
                state.save(path)
    weights = out / f"{recipe.kind}.safetensors"
    if rank == 0:
        checkpoints.save(state.result(), weights)
        content = {"recipe": recipe.model_dump(mode="json"), "step": state.step, "processes": world}
        write_json(out / RECORD, {**content, "device": device, "run": run_record()})
    if together:  # NCCL warns about a process group that is left open
        dist.destroy_process_group()
    return weights


def _restore(state: TrainingState, path: Path, *, resume: bool, start: Network | None) -> None:
    """Bring a new state to the checkpoint ``path`` or, without one, to the weights of ``start``."""
    if path.exists() and not resume:
        raise UserError(
            f"{path.parent} holds a training already. Go on with it by --resume, or take another "
            "folder."
        )
    if path.exists():
        state.load(path)
        if start is not None and state.began != fingerprint(start):
            raise UserError(
                f"{path} began with other weights than those given. Start again in another folder, "
                "or delete it."
            )
    elif start is not None:
        state.start_from(start)
    if (share := state.recipe.optimiser.keep_start) and state.start is None:
        raise UserError(
            f"The recipe keeps a share of {share:g} of the weights that it starts from "
            "(optimiser.keep_start), and none are given. Name them by --from, or set it to 0."
        )


def _training_module(network: Network, recipe: Recipe, world: int) -> nn.Module:
    """Wrap a network for ``world`` processes, and compile it, as the recipe says."""
    model: nn.Module = network
    if recipe.compiled:  # fastest for bfloat16; gradients then have the same layout
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if world > 1:
        model = nn.parallel.DistributedDataParallel(model, find_unused_parameters=_idle(recipe))
    if recipe.compiled:
        model = cast(nn.Module, torch.compile(model, dynamic=False))
    return model


def _idle(recipe: Recipe) -> bool:
    """Whether some parameters get no gradient: those of a mask encoder that nothing reads."""
    return recipe.kind == "propmask" and not (recipe.network.attended or recipe.network.prior)


def _check_gpus(device: str, world: int) -> None:
    """Compare the GPUs of all processes, over the CPUs: NCCL fails where two have the same."""
    own = socket.gethostname(), str(torch.cuda.get_device_properties(device).uuid)
    gpus: list[tuple[str, str]] = [own] * world
    dist.all_gather_object(gpus, own)
    check_distinct(gpus)


def check_distinct(gpus: Sequence[tuple[str, str]]) -> None:
    """Raise `UserError` unless each process has a GPU (host, id) of its own."""
    if len(set(gpus)) < len(gpus):
        raise UserError(
            f"{len(gpus)} processes were started on {len(set(gpus))} GPU(s), and each needs one of "
            "its own. Start as many as there are GPUs (torchrun --nproc-per-node), or all of them "
            "with --device cpu."
        )


def check_compiler(device: str) -> None:
    """Raise `UserError` if what `torch.compile` needs on ``device`` is missing.

    On a CPU that is a C++ compiler. On a GPU, Triton builds a Python module that loads the kernels,
    with a C compiler and Python's headers.
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
    """A CSV file of the mean loss since the previous row, written every so many steps."""

    def __init__(self, path: Path, step: int) -> None:
        """Continue with the file's rows up to ``step``, if there are any."""
        self.path = path
        self.rows: list[Sequence[str]] = [_COLUMNS]
        if step and path.exists():
            with path.open(encoding="utf-8", newline="") as file:
                self.rows += [row for row in list(csv.reader(file))[1:] if int(row[0]) <= step]
        self.losses: list[Tensor] = []
        self.started = time.perf_counter()

    def add(self, step: int, loss: Tensor, rate: float) -> None:
        """Record the loss of a step."""
        self.losses.append(loss)
        self.step, self.rate = step, rate

    def check(self) -> None:
        """Raise `UserError` if a loss since the previous row is not finite."""
        for step, loss in enumerate(self.losses, self.step - len(self.losses) + 1):
            if not loss.isfinite():
                raise diverged("loss", step)

    def write(self) -> float:
        """Write a row for the steps since the previous one; returns their mean loss.

        Raises `UserError` as `check` does.
        """
        self.check()
        mean = float(torch.stack(self.losses).mean())
        now = time.perf_counter()
        seconds = (now - self.started) / len(self.losses)
        self.rows.append((str(self.step), f"{mean:.6f}", f"{self.rate:.3e}", f"{seconds:.3f}"))
        self.losses, self.started = [], now
        with atomic(self.path) as temporary, temporary.open("w", encoding="utf-8", newline="") as f:
            csv.writer(f).writerows(self.rows)
        return mean


def loss_of(model: nn.Module, batch: Task, recipe: Recipe, device: str, step: int) -> Tensor:
    """Return the loss of a batch under a recipe at a step; ``model`` is on ``device``."""
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
                # Older torch would reuse the weights cast without gradients in `chained`
                # (github.com/pytorch/pytorch/issues/158232).
                torch.clear_autocast_cache()
            logits = _carried(model, batch, memory)
            logits = [scale.flatten(0, 1) for scale in logits]
        else:
            logits = model(_scaled(batch.image))
    return recipe.loss(logits, batch.target.flatten(0, 1))


@torch.no_grad()
def chained(model: nn.Module, batch: Task) -> Task:
    """Replace the guide of a batch by the network's own prediction on the nearest slice.

    The network thus learns from its own errors, which later rounds of a propagation start from.
    Where it marks nothing, the guide stays.
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
    marked = foreground_margin(_carried(model, nearest), size, "probabilities") > 0
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
    """Return PropMask's logits for the slices that a batch asks for."""
    logits: list[Tensor] = model(
        _scaled(batch.image),
        batch.mask.float(),
        _scaled(batch.adjacent),
        distance=batch.distance.abs(),
        memory=memory,
    )
    return logits


def _scaled(grey: Tensor) -> Tensor:
    """Map grey levels 0..255 to -1..1, as `pam.preprocess.images` does."""
    return (grey.float() - 127.5) / 127.5


def resolve_device(device: str | None) -> str:
    """Return the torch device for ``cpu``, ``cuda`` or None (a GPU if there is one).

    Raises `UserError` for a GPU that does not exist, and for any other name.
    """
    if device not in (None, "cpu", "cuda"):
        raise UserError(f"Unknown device {device!r}; expected cpu or cuda.")
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("torch sees no GPU here. Use --device cpu, or fix the GPU set-up.")
    if device == "cpu" or not torch.cuda.is_available():
        return "cpu"
    # A process that reserved a GPU for itself sees only that one, whatever its rank.
    device = f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % torch.cuda.device_count()}"
    torch.cuda.set_device(device)
    return device
