"""The training loop: resumes bit for bit, learns, and averages over processes."""

import csv
import math
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import Tensor

from benchmark.errors import UserError
from benchmark.storage.files import read_json
from pam import checkpoints
from pam.config import PropMaskConfig
from pam.network import PropMask
from pam.training import loop
from pam.training import recipe as recipes
from pam.training.batches import Blocks, batches
from pam.training.loop import (
    CHECKPOINT,
    CURVE,
    RECORD,
    chained,
    check_distinct,
    loss_of,
    resolve_device,
    train,
)
from pam.training.recipe import Optimiser, Recipe
from pam.training.state import TrainingState, learning_rate
from pam.training.tasks import Task
from tests.pretended_gpu import PretendedGpu

NEEDS_GPU = (
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch sees"),
)


@pytest.fixture
def tiny() -> Recipe:
    return recipes.load("tiny")


def _weights(path: Path) -> dict[str, Tensor]:
    return checkpoints.load(path).state_dict()


def _equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_resumed_training_ends_as_an_undisturbed_one(tiny: Recipe, tmp_path: Path) -> None:
    whole = train(tiny, tmp_path / "whole", device="cpu", workers=0)
    train(tiny, tmp_path / "parts", device="cpu", workers=0, stop=5)
    half = _weights(tmp_path / "parts" / "propmask.safetensors")
    # As if killed later: the checkpoint of step 5 is there, and the curve has a row too many.
    with (tmp_path / "parts" / CURVE).open("a", encoding="utf-8") as file:
        file.write("6,99,99,99\n")
    parts = train(tiny, tmp_path / "parts", device="cpu", workers=0, resume=True)
    assert not _equal(half, _weights(parts))
    assert _equal(_weights(whole), _weights(parts))
    rows = []
    for path in (whole, parts):
        with (path.parent / CURVE).open(encoding="utf-8", newline="") as file:
            rows.append([(row["step"], row["loss"]) for row in csv.DictReader(file)])
    assert [[step for step, _ in of] for of in rows] == [["2", "4", "6", "8"]] * 2
    alike, other = rows
    assert float(other[2][1]) < 10
    # the row at step 6 is of steps 5 and 6, and after the kill of step 6 alone
    assert [*alike[:2], alike[3]] == [*other[:2], other[3]]


def test_a_short_training_has_a_curve(
    tiny: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row at its end too, and no word of a loss before the first."""
    short = tiny.model_copy(update={"steps": 3})
    train(short, tmp_path, device="cpu", workers=0)
    with (tmp_path / CURVE).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["2", "3"]
    shown = capsys.readouterr().err
    assert "nan" not in shown
    assert f"loss {float(rows[-1]['loss']):.4f}" in shown


@pytest.mark.parametrize("first", [4, 6])
def test_a_training_that_diverges_ends_and_keeps_its_checkpoint(
    tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    """Noticed at a row of the curve or, if that comes first, before the next checkpoint."""
    undisturbed = loss_of
    with monkeypatch.context() as patched:

        def spoilt(*given: Any) -> Tensor:
            step = given[-1] + 1
            return undisturbed(*given) * (math.nan if step >= first else 1)

        patched.setattr(loop, "loss_of", spoilt)
        with pytest.raises(UserError, match=rf"its loss is not finite at step {first}\."):
            train(tiny, tmp_path, device="cpu", workers=0)
    state = TrainingState(tiny, "cpu")
    state.load(tmp_path / CHECKPOINT)
    assert state.step == 3
    state.check()
    train(tiny, tmp_path, device="cpu", workers=0, resume=True)


def test_gradients_that_are_not_finite_end_a_training(
    tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss of that step still is."""

    def spoilt(*given: Any) -> Tensor:
        loss = loss_of(*given)
        if given[-1] == 2:
            loss.register_hook(lambda gradient: gradient * math.inf)  # type: ignore[no-untyped-call]
        return loss

    monkeypatch.setattr(loop, "loss_of", spoilt)
    with pytest.raises(UserError, match="its network is not finite at step 3"):
        train(tiny, tmp_path, device="cpu", workers=0)
    assert not (tmp_path / CHECKPOINT).exists()


def test_fused_layers_learn_the_same(
    tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traced as for fusing, with the operations left as they are, which needs no compiler."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    monkeypatch.setattr(loop, "which", lambda _: "g++")
    losses = []
    for compiled in (False, True):
        recipe = tiny.model_copy(update={"compiled": compiled})
        path = train(recipe, tmp_path / str(compiled), device="cpu", workers=0)
        with (path.parent / CURVE).open(encoding="utf-8", newline="") as file:
            losses.append([float(row["loss"]) for row in csv.DictReader(file)])
        record = read_json(path.parent / RECORD)
        assert record["recipe"]["compiled"] is compiled
    plain, fused = losses
    assert fused == pytest.approx(plain, rel=1e-2)
    assert torch._dynamo.utils.counters["stats"]["calls_captured"]


def test_what_is_not_prepared_is_told_before_a_network_is_built(
    tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where other processes make the batches."""
    data = {"kind": "prepared", "datasets": ["D35"], "folder": str(tmp_path)}
    recipe = recipes.read(tiny.model_dump(mode="json") | {"data": data}, "test")
    monkeypatch.setattr(loop, "TrainingState", None)
    with pytest.raises(UserError, match=r"^D35 is not prepared"):
        train(recipe, tmp_path / "out", device="cpu", workers=1)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NEEDS_GPU)])
def test_a_chained_training_in_bfloat16_goes_on_where_it_stopped(
    tiny: Recipe, tmp_path: Path, device: str
) -> None:
    """Bit for bit on one thread of a CPU; a GPU sums in another order each time, which rounds."""
    content = tiny.model_dump(mode="json") | {"chained": 1, "precision": "bfloat16"}
    recipe = recipes.read(content, "test")
    whole = train(recipe, tmp_path / "whole", device=device, workers=0)
    train(recipe, tmp_path / "parts", device=device, workers=0, stop=3)
    parts = train(recipe, tmp_path / "parts", device=device, workers=0, resume=True)
    assert read_json(parts.parent / RECORD)["step"] == recipe.steps
    start, undisturbed, resumed = (
        torch.cat([x.flatten() for x in weights.values()])
        for weights in (
            TrainingState(recipe, "cpu").result().state_dict(),
            _weights(whole),
            _weights(parts),
        )
    )
    learned = (undisturbed - start).norm()
    assert 0 < learned < math.inf
    assert (resumed - undisturbed).norm() <= (0 if device == "cpu" else 0.5) * learned


def test_all_that_a_training_computes_with_is_on_its_device(
    tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also once it goes on from its checkpoint, and a share of the first weights is kept."""
    content = tiny.model_dump(mode="json") | {"chained": 1}
    content["optimiser"]["keep_start"] = 0.25
    recipe = recipes.read(content, "test")
    start = TrainingState(recipe, "cpu").result()
    on_cpu = train(recipe, tmp_path / "a", start=start, device="cpu", workers=0, stop=2)
    monkeypatch.setattr(loop, "resolve_device", lambda device: device)
    where = tmp_path / "b"
    with PretendedGpu():
        train(recipe, where, start=start, device="cuda", workers=0, stop=1)
        on_gpu = train(recipe, where, device="cuda", workers=0, stop=2, resume=True)
    before, expected, found = (
        torch.cat([x.flatten() for x in weights.values()])
        for weights in (start.state_dict(), _weights(on_cpu), _weights(on_gpu))
    )
    assert 0 < (expected - before).norm() < math.inf
    assert (found - expected).norm() < 0.5 * (expected - before).norm()


def test_kept_weights_are_a_running_mean(tiny: Recipe) -> None:
    """By hand: over few steps at first, then over those of the recipe's decay."""
    assert tiny.optimiser.average == 0.9
    state = TrainingState(tiny, "cpu")
    mean = {n: x.double() for n, x in state.result().state_dict().items()}
    for step, batch in zip((1, 2, 3), batches(tiny, 0, 0, 1, 0), strict=False):
        loss_of(state.network, batch, tiny, "cpu", step - 1).backward()  # type: ignore[no-untyped-call]
        state.update()
        decay = min(0.9, (1 + step) / (10 + step))
        for name, x in state.network.state_dict().items():
            mean[name] = decay * mean[name] + (1 - decay) * x.double()
    assert state.step == 3
    kept = state.result().state_dict()
    for name, x in mean.items():
        torch.testing.assert_close(kept[name].double(), x, rtol=1e-5, atol=1e-7)
    last = state.network.state_dict()
    assert not all(torch.allclose(kept[n], last[n], rtol=1e-5, atol=1e-7) for n in kept)


def test_fusing_tells_that_it_needs_a_compiler(
    tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "which", lambda _: None)
    with pytest.raises(UserError, match="C\\+\\+ compiler"):
        train(tiny.model_copy(update={"compiled": True}), tmp_path, device="cpu", workers=0)
    with pytest.raises(UserError, match="a C compiler"):  # of Triton
        loop.check_compiler("cuda:0")
    monkeypatch.setattr(loop, "which", lambda name: name)
    monkeypatch.setattr(sysconfig, "get_path", lambda *_: str(tmp_path))
    with pytest.raises(UserError, match=r"Python\.h"):
        loop.check_compiler("cuda:0")
    (tmp_path / "Python.h").touch()
    loop.check_compiler("cuda:0")


def test_weights_may_be_stored_in_half_the_space(tiny: Recipe, tmp_path: Path) -> None:
    whole = train(tiny, tmp_path / "whole", device="cpu", workers=0, stop=2)
    recipe = tiny.model_copy(update={"stored": "float16"})
    half = train(recipe, tmp_path / "half", device="cpu", workers=0, stop=2)
    assert {x.dtype for x in load_file(half).values()} == {torch.float16}
    rounded = {name: x.half().float() for name, x in _weights(whole).items()}
    assert _equal(_weights(half), rounded)


@pytest.mark.parametrize("steps", [2, 6])
def test_fewer_steps_than_were_done_leave_what_is_there(
    tiny: Recipe, tmp_path: Path, steps: int
) -> None:
    done = _weights(train(tiny, tmp_path, device="cpu", workers=0))
    fewer = tiny.model_copy(update={"steps": steps})
    assert _equal(done, _weights(train(fewer, tmp_path, device="cpu", workers=0, resume=True)))


def test_workers_change_nothing(tiny: Recipe, tmp_path: Path) -> None:
    one, other = (train(tiny, tmp_path / str(n), device="cpu", workers=n, stop=3) for n in (0, 1))
    assert one.read_bytes() == other.read_bytes()


def test_a_folder_in_use_or_of_another_recipe_is_refused(tiny: Recipe, tmp_path: Path) -> None:
    train(tiny, tmp_path, device="cpu", workers=0, stop=1)
    with pytest.raises(UserError, match="--resume"):
        train(tiny, tmp_path, device="cpu", workers=0)
    other = tiny.model_copy(update={"seed": 1})
    with pytest.raises(UserError, match="seed differ"):
        train(other, tmp_path, device="cpu", workers=0, resume=True)
    longer = tiny.model_copy(update={"steps": 20, "checkpoint": 7})
    TrainingState(longer, "cpu").load(tmp_path / CHECKPOINT)


def test_data_may_lie_elsewhere_but_are_the_same(tiny: Recipe, tmp_path: Path) -> None:
    def of(folder: str, dataset: str) -> TrainingState:
        data = {"kind": "prepared", "datasets": [dataset], "folder": folder}
        return TrainingState(
            recipes.read(tiny.model_dump(mode="json") | {"data": data}, "test"), "cpu"
        )

    of("data", "D35").save(tmp_path / CHECKPOINT)
    of(str(tmp_path / "data"), "D35").load(tmp_path / CHECKPOINT)
    with pytest.raises(UserError, match="data differ"):
        of("data", "D36").load(tmp_path / CHECKPOINT)


def test_a_training_goes_on_with_as_many_processes(tiny: Recipe, tmp_path: Path) -> None:
    path = tmp_path / CHECKPOINT
    TrainingState(tiny, "cpu", 4).save(path)
    TrainingState(tiny, "cpu", 4).load(path)
    with pytest.raises(UserError, match="on 4 processes, and here are 1"):
        train(tiny, tmp_path, device="cpu", workers=0, resume=True)
    older = torch.load(path, weights_only=True)
    del older["processes"]
    torch.save(older, path)
    TrainingState(tiny, "cpu").load(path)


def test_a_checkpoint_from_before_a_key_was_there_has_its_default(
    tiny: Recipe, tmp_path: Path
) -> None:
    path = tmp_path / CHECKPOINT
    TrainingState(tiny, "cpu").save(path)
    older = torch.load(path, weights_only=True)
    del older["recipe"]["compiled"], older["recipe"]["tasks"]["border"]
    torch.save(older, path)
    TrainingState(tiny, "cpu").load(path)
    with pytest.raises(UserError, match="compiled differ"):
        TrainingState(tiny.model_copy(update={"compiled": True}), "cpu").load(path)


def test_a_share_of_the_weights_started_from_is_kept(tiny: Recipe, tmp_path: Path) -> None:
    first = checkpoints.load(train(tiny, tmp_path / "a", device="cpu", workers=0, stop=1))
    keeping = tiny.optimiser.model_copy(update={"keep_start": 0.25})
    half = tiny.model_copy(update={"optimiser": keeping})
    whole = train(tiny, tmp_path / "b", start=first, device="cpu", workers=0, stop=4)
    train(half, tmp_path / "c", start=first, device="cpu", workers=0, stop=2)
    kept = train(half, tmp_path / "c", device="cpu", workers=0, stop=4, resume=True)
    mixed = _weights(kept)
    for name, x in _weights(whole).items():
        torch.testing.assert_close(mixed[name], 0.75 * x + 0.25 * first.state_dict()[name])
    with pytest.raises(UserError, match=r"a share of 0\.25 of the weights that it starts from"):
        train(half, tmp_path / "d", device="cpu", workers=0)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NEEDS_GPU)])
def test_fine_tuning_starts_from_given_weights(tiny: Recipe, tmp_path: Path, device: str) -> None:
    first = checkpoints.load(train(tiny, tmp_path / "a", device="cpu", workers=0, stop=2))
    shown = tiny.network.model_copy(update={"inference": {"size": 48}})  # no part of the network
    slow = Optimiser(rate=1e-30, weight_decay=0)
    still = tiny.model_copy(update={"optimiser": slow, "network": shown})
    tuned = train(still, tmp_path / "b", start=first, device=device, workers=0, stop=1)
    assert _equal(first.state_dict(), _weights(tuned))
    narrow = PropMaskConfig(**{**tiny.network.model_dump(), "channels": 2})
    TrainingState(still, device).start_from(PropMask(narrow))  # it grows
    larger = PropMask(PropMaskConfig(channels=8, stages=3, attended=2))
    with pytest.raises(UserError, match="configuration under `network`"):
        train(tiny, tmp_path / "c", start=larger, device="cpu", workers=0)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_a_damaged_checkpoint_is_told(tiny: Recipe, tmp_path: Path, content: bytes | None) -> None:
    train(tiny, tmp_path, device="cpu", workers=0, stop=1)
    path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:-1000] if content is None else content)
    with pytest.raises(UserError, match="is damaged"):
        train(tiny, tmp_path, device="cpu", workers=0, resume=True)


def test_a_training_does_not_go_on_from_another_start(tiny: Recipe, tmp_path: Path) -> None:
    first, other = (
        checkpoints.load(train(tiny, tmp_path / name, device="cpu", workers=0, stop=n))
        for name, n in (("a", 1), ("b", 2))
    )
    train(tiny, tmp_path / "c", start=first, device="cpu", workers=0, stop=1)
    with pytest.raises(UserError, match="began with other weights"):
        train(tiny, tmp_path / "c", start=other, device="cpu", workers=0, resume=True)
    train(tiny, tmp_path / "c", start=first, device="cpu", workers=0, stop=2, resume=True)


@pytest.mark.parametrize(("kind", "chained"), [("propmask", 0), ("propmask", 1), ("box2mask", 0)])
def test_a_few_tasks_are_learned_by_heart(tiny: Recipe, kind: str, chained: float) -> None:
    content = tiny.model_dump(mode="json") | {
        "kind": kind,
        "chained": chained,
        "augmentation": {"flip": 0, "turn": 0},
        "optimiser": {"rate": 1e-2, "clip": 1.0},
        "steps": 80,
    }
    if kind == "box2mask":
        content |= {"network": {"channels": 4, "stages": 3}, "tasks": {"size": 32}}
        del content["chained"]
    recipe = recipes.read(content, "test")
    state = TrainingState(recipe, "cpu")
    batch = Blocks(recipe)[0][0]
    losses = []
    for _ in range(80):
        loss = loss_of(state.network, batch, recipe, "cpu", 0)
        loss.backward()  # type: ignore[no-untyped-call]
        state.update()
        losses.append(loss.item())
    assert losses[-1] < 0.35 * losses[0]


def test_a_chained_step_in_mixed_precision_reaches_every_weight(tiny: Recipe) -> None:
    """Its first look at the batch is without gradients, and its casts are not those of the next."""
    content = tiny.model_dump(mode="json") | {"chained": 1, "precision": "bfloat16"}
    recipe = recipes.read(content, "test")
    network = TrainingState(recipe, "cpu").network
    loss_of(network, Blocks(recipe)[0][0], recipe, "cpu", 0).backward()  # type: ignore[no-untyped-call]
    assert [name for name, x in network.named_parameters() if x.grad is None] == []


_RANK = """
import os, sys
from pathlib import Path
from pam import checkpoints
from pam.training import loop, recipe

class Kept(loop.TrainingState):
    def __init__(self, *about):
        super().__init__(*about)
        kept.append(self)

kept, folder = [], Path(sys.argv[1])
loop.TrainingState = Kept
loop.train(recipe.load("tiny"), folder, device="cpu", workers=0, stop=3)
checkpoints.save(kept[0].result(), folder / f"rank-{os.environ['RANK']}.safetensors")
"""


def test_two_processes_average_their_gradients(tiny: Recipe, tmp_path: Path) -> None:
    (tmp_path / "rank.py").write_text(_RANK, encoding="utf-8")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = [*torchrun, "--nproc-per-node", "2", str(tmp_path / "rank.py"), str(tmp_path)]
    done = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    names = ("rank-0", "rank-1", "propmask")
    first, second, kept = ((tmp_path / f"{name}.safetensors").read_bytes() for name in names)
    assert first == second == kept

    state = TrainingState(tiny, "cpu")
    both = (batches(tiny, 0, rank, 2, 0) for rank in (0, 1))
    for of_ranks in islice(zip(*both, strict=True), 3):
        for batch in of_ranks:
            loss = loss_of(state.network, batch, tiny, "cpu", 0) / 2
            loss.backward()  # type: ignore[no-untyped-call]
        state.update()
    expected, got = state.result().state_dict(), _weights(tmp_path / "propmask.safetensors")
    assert all(torch.allclose(expected[key], got[key], atol=1e-5) for key in expected)
    start = TrainingState(tiny, "cpu").result().state_dict()
    assert not all(torch.allclose(start[key], got[key], atol=1e-3) for key in start)


def test_two_processes_on_one_gpu_are_refused() -> None:
    """Another host may have a GPU of the same number."""
    check_distinct([("a", "GPU-1"), ("a", "GPU-2"), ("b", "GPU-1")])
    with pytest.raises(UserError, match=r"3 processes were started on 2 GPU\(s\)"):
        check_distinct([("a", "GPU-1"), ("a", "GPU-2"), ("a", "GPU-1")])


def test_a_process_takes_the_gpu_of_its_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the only one that it sees."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setenv("LOCAL_RANK", "1")
    for seen, expected in ((4, "cuda:1"), (1, "cuda:0")):
        monkeypatch.setattr(torch.cuda, "device_count", lambda seen=seen: seen)
        assert resolve_device(None) == expected
        assert resolve_device("cpu") == "cpu"


@pytest.fixture
def of_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process trains as one of two, in a group of its own."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    dist.init_process_group("gloo", f"file://{tmp_path}/group", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_a_network_that_looks_at_no_mask_trains_on_several_processes(
    tiny: Recipe, tmp_path: Path, of_several: None
) -> None:
    """The encoder of the mask has no gradients then, which are waited for otherwise."""
    network = tiny.network.model_copy(update={"attended": 0, "prior": False})
    alike = tiny.model_copy(update={"network": network})
    before = TrainingState(alike, "cpu").result().state_dict()
    after = _weights(train(alike, tmp_path, device="cpu", workers=0, stop=3))
    moved = {n.partition(".")[0] for n, x in after.items() if not torch.equal(x, before[n])}
    assert moved == {"encoder", "decoder"}


@pytest.mark.filterwarnings("ignore:Grad strides do not match bucket view strides")
def test_weights_are_laid_out_before_the_buckets_of_their_gradients(
    tiny: Recipe, tmp_path: Path, of_several: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    laid_out: list[bool] = []
    wrapped = torch.nn.parallel.DistributedDataParallel

    def noted(model: torch.nn.Module, **more: Any) -> torch.nn.Module:
        filters = [x for x in model.parameters() if x.ndim == 4]
        laid_out.extend(x.is_contiguous(memory_format=torch.channels_last) for x in filters)
        return wrapped(model, **more)

    monkeypatch.setattr(torch.nn.parallel, "DistributedDataParallel", noted)
    monkeypatch.setattr(torch, "compile", lambda model, **_: model)
    monkeypatch.setattr(loop, "which", lambda _: "g++")
    fused = tiny.model_copy(update={"compiled": True})
    train(fused, tmp_path, device="cpu", workers=0, stop=1)
    assert laid_out
    assert all(laid_out)


def test_learning_rate_is_that_of_torch() -> None:
    settings = Optimiser(rate=1e-3, last_rate=1e-5, period=20)
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.AdamW([weight], lr=1e-3)
    peer = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=20, eta_min=1e-5)
    for step in range(50):  # beyond the period it rises again
        assert learning_rate(settings, step, 1000) == pytest.approx(peer.get_last_lr()[0], rel=1e-6)
        optimiser.step()
        peer.step()
    warm = Optimiser(rate=1e-3, last_rate=0, warm_up=4)
    rates = [learning_rate(warm, step, 104) for step in (0, 1, 3, 4, 104)]
    assert rates == pytest.approx([2.5e-4, 5e-4, 1e-3, 1e-3, 0])


_ONE, _THREE = (2, 1, 8, 8), (2, 3, 1, 8, 8)


class Shifts(torch.nn.Module):
    """Marks the guiding mask one column on, but nothing on slices that are black."""

    def forward(self, image: Tensor, mask: Tensor, adjacent: Tensor, **_: object) -> list[Tensor]:
        moved = mask.roll(1, dims=-1)[:, None] * (adjacent > -1)
        return [torch.cat((0.5 - moved, moved - 0.5), dim=2)]


def test_a_chain_goes_on_from_what_the_network_marked() -> None:
    torch.manual_seed(0)
    image, adjacent = (torch.randint(1, 256, n, dtype=torch.uint8) for n in (_ONE, _THREE))
    adjacent[1, 0] = 0  # there the object is lost
    mask, target = torch.rand(_ONE) > 0.5, torch.rand(2, 3, 8, 8) > 0.5
    distance = torch.tensor([[-1.0, 2.0, -3.0], [1.0, 2.0, 3.0]])
    asked = chained(Shifts(), Task(image, mask, adjacent, distance, target))
    assert torch.equal(asked.image, torch.stack((adjacent[0, 0], image[1])))
    assert torch.equal(asked.mask, torch.stack((mask[0].roll(1, dims=-1), mask[1])))
    assert torch.equal(asked.adjacent, adjacent[:, 1:])
    assert torch.equal(asked.target, target[:, 1:])
    # from slice -1 to 2 and to -3; from the guiding slice itself
    assert asked.distance.tolist() == [[3.0, -2.0], [2.0, 3.0]]


@pytest.mark.parametrize("memory", ["guide", "prompt"])
def test_a_chain_remembers_if_the_inference_will(tiny: Recipe, memory: str) -> None:
    content = tiny.model_dump(mode="json") | {"chained": 1}
    content["network"]["inference"]["memory"] = memory
    recipe = recipes.read(content, "test")
    network = TrainingState(recipe, "cpu").network
    asked: list[object] = []
    network.register_forward_pre_hook(
        lambda _, x, named: asked.append(named.get("memory")), with_kwargs=True
    )
    batch = Blocks(recipe)[0][0]
    loss_of(network, batch, recipe, "cpu", 0)
    first, second = asked
    assert first is None
    if memory == "guide":
        assert second is None
    else:
        assert isinstance(second, tuple)
        assert torch.equal(second[1], batch.mask.float())
        assert torch.equal(second[0], (batch.image.float() - 127.5) / 127.5)
