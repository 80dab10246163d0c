"""The conformance check: sound adapters pass, each broken one fails by the right rule."""

import asyncio
import io
import random
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baselines.controls import BoxFill
from benchmark import objects, prepare
from benchmark.adapter import Adapter, Learner, MethodInfo, Prediction
from benchmark.boxes import slices
from benchmark.conformance.cases import synthetic_cases
from benchmark.conformance.checks import Finding, findings
from benchmark.conformance.scenes import STRUCTURE, scenes
from benchmark.errors import UserError
from benchmark.learning.fitting import Case
from benchmark.methods.registry import available
from benchmark.prompts import Prompt
from benchmark.storage.tables import write_table
from benchmark.study import Study
from benchmark.volume import Volume

DOCS = Path(__file__).parents[3] / "docs" / "add-a-method.md"
INFO = BoxFill.info
SHIPPED = ["baselines.controls", "baselines.classical"]


def broken(found: Iterable[Finding]) -> dict[str, str]:
    return {finding.name: finding.detail for finding in found if not finding.ok}


@pytest.mark.parametrize(
    "name", sorted(n for n, target in available().items() if target.split(":")[0] in SHIPPED)
)
def test_shipped_methods_conform(name: str) -> None:
    found = list(findings(name))
    assert broken(found) == {}
    scenes = {finding.name.split(",")[0] for finding in found}
    assert {"plain", "anisotropic", "border", "one slice", "constant"} <= scenes


def test_the_method_of_the_docs_conforms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (source,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    folder = tmp_path / "mymethods"
    folder.mkdir()
    (folder / "threshold.py").write_text(source, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mymethods", raising=False)  # another test's, in this process
    assert broken(findings("mymethods.threshold:Threshold", {"quantile": 0.4})) == {}
    misspelled = broken(findings("mymethods.threshold:Threshold", {"quantil": 0.4}))
    assert "quantile" in misspelled["options"]


def test_the_template_says_which_blank_is_left() -> None:
    assert "blank 2" in broken(findings("baselines.template:Template"))["load"]


def filled_in(folder: Path) -> str:
    """The template with its three blanks filled; the name of its class."""
    text = (DOCS.parents[1] / "baselines" / "template.py").read_text(encoding="utf-8")
    for blank, filling in (
        ('summary="(fill in: one line)"', 'summary="every voxel of the box"'),
        (
            'raise UserError(f"{type(self).__name__}: blank 2 (load) is not filled in.")',
            "self.loaded = True",
        ),
        (
            'raise UserError(f"{type(self).__name__}: blank 3 (segment) is not filled in.")',
            "from benchmark.boxes import slices\n"
            "        for prompt in prompts:\n"
            "            part = volume.grey[slices(prompt.box)]\n"
            "            z, _, y, _, x, _ = prompt.box\n"
            "            yield Prediction(part == part, offset=(z, y, x))",
        ),
    ):
        assert text.count(blank) == 1
        text = text.replace(blank, filling)
    (folder / "filledin.py").write_text(text, encoding="utf-8")
    return "filledin:Template"


def test_the_template_conforms_once_its_blanks_are_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    found = list(findings(filled_in(tmp_path)))
    assert broken(found) == {}
    rules = {finding.name.split(",")[0] for finding in found}
    assert {"two runs", "order", "out of memory", "memory", "time"} <= rules


def test_a_failure_for_want_of_memory_is_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmark.conformance.checks.find", lambda name: GivesIn)
    monkeypatch.setattr("benchmark.conformance.checks._heavy", lambda module: None)
    assert broken(findings("mine")) == {}


class Learnt(Learner):
    """Learns how bright a structure is at least."""

    info = MethodInfo(summary="a threshold that is learnt", prompts=("structure",))

    def plan(self, cases: Sequence[Case], structures: Sequence[str], workdir: Path) -> None:
        workdir.mkdir()
        darkest = min(c.volume().grey[c.labels(structures) == 1].min() for c in cases)
        (workdir / "plan").write_text(str(darkest))

    def fit(self, workdir: Path, device: str, start: Path | None) -> None:
        (workdir / "plan").replace(workdir / "model")

    def load(self, weights: Path | None, device: str) -> None:
        assert weights is not None
        self.level = float((weights / "model").read_text())

    def segment(self, volume: Volume, prompts: Sequence[Prompt]) -> Iterator[Prediction]:
        for _ in prompts:
            yield Prediction(volume.grey >= self.level)


class LearntAnew(Learnt):
    """Leaves a training that is done as it is."""

    def fit(self, workdir: Path, device: str, start: Path | None) -> None:
        (workdir / "model").write_text((workdir / "plan").read_text())


def test_a_method_that_learns_is_trained_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmark.conformance.checks._heavy", lambda module: None)
    monkeypatch.setattr("benchmark.conformance.checks.find", lambda name: LearntAnew)
    found = list(findings("mine"))
    assert broken(found) == {}
    names = [finding.name for finding in found]
    assert names.index("plan") < names.index("fit") < names.index("load")
    plain = next(finding for finding in found if finding.name == "plain, structure")
    assert "mean DSC 1.00" in plain.detail
    monkeypatch.setattr("benchmark.conformance.checks.find", lambda name: Learnt)
    assert list(broken(findings("mine"))) == ["fit again, when it is done"]


def test_the_template_learns_with_the_options_of_what_learns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    filled_in(tmp_path)
    text = (tmp_path / "filledin.py").read_text(encoding="utf-8")
    text = text.replace("import Adapter,", "import Adapter, Learner,")
    text = text.replace("class Template(Adapter)", "class Template(Learner)")
    text += (
        "\n    def plan(self, cases, structures, workdir):\n        workdir.mkdir()\n"
        "\n    def fit(self, workdir, device, start):\n        pass\n"
    )
    (tmp_path / "learns.py").write_text(text, encoding="utf-8")
    assert "class Options(Learner.Options)" in broken(findings("learns:Template"))["found"]
    (tmp_path / "learnt.py").write_text(
        text.replace("(Adapter.Options)", "(Learner.Options)"), encoding="utf-8"
    )
    assert broken(findings("learnt:Template")) == {}
    method = {"adapter": "learns:Template", "prompt": "box3d"}
    content = {"study": "s", "datasets": ["P01"], "methods": {"m": method}}
    with pytest.raises(UserError, match="is a Learner, so its options"):
        Study.read(content, "study.yaml")
    assert Study.read({**content, "methods": {"m": {**method, "adapter": "learnt:Template"}}}, "s")


def test_synthetic_cases_are_those_of_a_prepared_dataset(tmp_path: Path) -> None:
    cases = {case.scan: case for case in synthetic_cases(tmp_path)}
    plain = [scene for scene in scenes() if not scene.odd]
    assert {case.dataset for case in cases.values()} == {"made"}
    assert len(cases) == len(plain) > 1
    for scene in plain:
        case = cases[scene.name.replace(" ", "-")]
        assert np.array_equal(case.volume().grey, scene.volume.array)
        assert case.volume().spacing == scene.volume.spacing
        truth = np.any([mask.dense() for mask in scene.masks], axis=0)
        assert np.array_equal(case.labels(["other", STRUCTURE]), 2 * truth)
        assert sum(row["voxels"] for row in case.objects) == truth.sum()
    for name, schema in (("objects", objects.SCHEMA), ("reference", objects.REFERENCE_SCHEMA)):
        rows = [row for case in cases.values() for row in getattr(case, name)]
        write_table(rows, schema, tmp_path / f"{name}.parquet")
    rows = [case.image for case in cases.values()]
    write_table(rows, prepare.IMAGE_SCHEMA, tmp_path / "images.parquet")


def test_an_unknown_name_is_a_finding_with_a_suggestion() -> None:
    (finding,) = findings("elipsoid")
    assert not finding.ok
    assert "Did you mean: ellipsoid" in finding.detail


class Wrong(BoxFill):
    """A box fill that a subclass breaks in one way, in `bent`."""

    def segment(self, volume: Volume, prompts: Sequence[Prompt]) -> Iterator[Any]:
        for prompt in prompts:
            mask = np.zeros(volume.shape, dtype=bool)
            mask[slices(prompt.box)] = True
            yield self.bent(mask, volume)

    def bent(self, mask: Any, volume: Volume) -> Any:
        raise NotImplementedError


class Transposed(Wrong):
    def bent(self, mask: Any, volume: Volume) -> Any:
        return Prediction(mask.T)


class Scores(Wrong):
    def bent(self, mask: Any, volume: Volume) -> Any:
        return Prediction(mask * 0.7)


class Bare(Wrong):
    def bent(self, mask: Any, volume: Volume) -> Any:
        return mask


class Exits(Wrong):
    def bent(self, mask: Any, volume: Volume) -> Any:
        sys.exit("no engine")


class Outside(Wrong):
    def bent(self, mask: Any, volume: Volume) -> Any:
        return Prediction(mask, offset=(0, 0, 1))


class Neither(Wrong):
    def bent(self, mask: Any, volume: Volume) -> Any:
        return Prediction()


class GivesUp(Wrong):
    def bent(self, mask: Any, volume: Volume) -> Any:
        return Prediction(failure="too hard")


class Channels(Wrong):
    def bent(self, mask: Any, volume: Volume) -> Any:
        return Prediction(mask & (volume.array > -1e9))


class Writes(Wrong):
    def bent(self, mask: Any, volume: Volume) -> Any:
        volume.array[0] = 0
        return Prediction(mask)


class WritesByForce(Wrong):
    def bent(self, mask: Any, volume: Volume) -> Any:
        volume.array.flags.writeable = True
        volume.array[...] += 1
        return Prediction(mask)


class Crashes(Wrong):
    def bent(self, mask: Any, volume: Volume) -> Any:
        if volume.array.std() == 0:
            raise ZeroDivisionError("no contrast")
        return Prediction(mask)


class Dice(Wrong):
    def bent(self, mask: Any, volume: Volume) -> Any:
        return Prediction(mask & (np.random.default_rng(random.getrandbits(32)).random() > 0.5))


class Rounds(Wrong):
    """Loses another voxel of the border in each second run, as on a GPU."""

    info = replace(BoxFill.info, gpu=True)
    runs = 0

    def bent(self, mask: Any, volume: Volume) -> Any:
        Rounds.runs += 1
        mask[tuple(np.argwhere(mask)[-(Rounds.runs % 2)])] = False
        return Prediction(mask)


class Hoards(Wrong):
    def bent(self, mask: Any, volume: Volume) -> Any:
        self.last = volume.array[1:]
        return Prediction(mask)


class Swallows(BoxFill):
    def segment(self, volume: Volume, prompts: Sequence[Prompt]) -> Iterator[Prediction]:
        with suppress(MemoryError):
            volume.array.mean()
        yield from super().segment(volume, prompts)


class GivesIn(Swallows):
    """Sound: what it cannot do for want of memory is a failure."""

    def segment(self, volume: Volume, prompts: Sequence[Prompt]) -> Iterator[Prediction]:
        try:
            volume.array.mean()
        except MemoryError as error:
            yield from (Prediction(failure=str(error)) for _ in prompts)
        else:
            yield from BoxFill.segment(self, volume, prompts)


class Fewer(BoxFill):
    def segment(self, volume: Volume, prompts: Sequence[Prompt]) -> Iterator[Prediction]:
        yield from list(super().segment(volume, prompts))[:-1]


class Sorted(BoxFill):
    def segment(self, volume: Volume, prompts: Sequence[Prompt]) -> Iterator[Prediction]:
        yield from super().segment(volume, sorted(prompts, key=lambda prompt: prompt.box))


class Endless(BoxFill):
    def segment(self, volume: Volume, prompts: Sequence[Prompt]) -> Iterator[Prediction]:
        while True:
            yield from super().segment(volume, prompts)


class Panics(Wrong):
    def bent(self, mask: Any, volume: Volume) -> Any:
        raise asyncio.CancelledError("index out of bounds")


class Undecided(BoxFill):
    def missing_requirement(self) -> str | None:
        raise FileNotFoundError("no tool")


class Unknowable(BoxFill):
    def external_state(self) -> str:
        raise FileNotFoundError("no program")


class OneBuffer(BoxFill):
    """Uses one array for all its answers, and clears it afterwards."""

    def segment(self, volume: Volume, prompts: Sequence[Prompt]) -> Iterator[Prediction]:
        buffer = np.zeros(volume.shape, dtype=bool)
        for prompt in prompts:
            buffer[slices(prompt.box)] = True
            yield Prediction(buffer)
            buffer[:] = False


class Silences(BoxFill):
    def segment(self, volume: Volume, prompts: Sequence[Prompt]) -> Iterator[Prediction]:
        sys.stdout = io.StringIO()
        yield from super().segment(volume, prompts)


class BadInfo(BoxFill):
    info = MethodInfo(summary="", prompts=("box3d", "point"), threads=0)  # type: ignore[arg-type]


class NoInfo(Adapter):
    def segment(self, volume: Volume, prompts: Sequence[Prompt]) -> Iterator[Prediction]:
        yield from ()


@pytest.mark.parametrize(
    ("adapter", "rule", "message"),
    [
        (Transposed, "plain, box3d", "resample to volume.shape"),
        (Scores, "plain, box3d", "threshold the scores"),
        (Bare, "plain, box3d", "Expected a Prediction; got ndarray"),
        (Exits, "plain, box3d", "SystemExit: no engine, in line"),
        (Outside, "plain, box3d", "clip the part at the border"),
        (Neither, "plain, box3d", "got neither"),
        (GivesUp, "plain, box3d", "too hard"),
        (Channels, "two channels, box3d", r"\(2, 20, 28, 36\)"),
        (Writes, "plain, box3d", "read-only"),
        (WritesByForce, "plain, box3d", "work on a copy"),
        (
            Crashes,
            "constant, box3d",
            r"ZeroDivisionError: no contrast, in line \d+ of .*test_conformance\.py, in bent",
        ),
        (Dice, "two runs, box3d", "seed whatever is random"),
        (Hoards, "memory, box3d", "keep no volume"),
        (Swallows, "out of memory, box3d", "got a mask"),
        (Fewer, "plain, box3d", "3 predictions for as many prompts; got 2"),
        (Sorted, "order, box3d", "yield in the order of the prompts"),
        (Endless, "plain, box3d", "3 predictions for as many prompts; got more than 3"),
        (Panics, "plain, box3d", "CancelledError: index out of bounds, in line"),
        (Undecided, "requirements", "FileNotFoundError: no tool, in line"),
        (Unknowable, "requirements", "FileNotFoundError: no program, in line"),
        (BadInfo, "info", "summary is.*prompts is.*threads is"),
        (NoInfo, "info", "a class attribute info"),
    ],
)
def test_each_mistake_is_found_and_told(
    adapter: type[Adapter], rule: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    random.seed(3)
    monkeypatch.setattr("benchmark.conformance.checks.find", lambda name: adapter)
    monkeypatch.setattr("benchmark.conformance.checks._heavy", lambda module: None)
    assert re.search(message, broken(findings("mine"))[rule])


@pytest.mark.parametrize("adapter", [OneBuffer, Silences])
def test_answers_in_one_array_and_silence_are_no_mistakes(
    adapter: type[Adapter], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmark.conformance.checks.find", lambda name: adapter)
    monkeypatch.setattr("benchmark.conformance.checks._heavy", lambda module: None)
    for finding in findings("mine"):
        print(finding.name, finding.ok, finding.detail)
    told = capsys.readouterr().out
    assert "False" not in told
    expected = [f.detail for f in findings("box-fill") if f.name == "plain, box3d"]
    assert f"plain, box3d True {expected[0]}" in told


@pytest.mark.parametrize(
    ("adapter", "device", "ok"),
    [(Rounds, "cpu", False), (Rounds, "cuda", True), (Dice, "cuda", False)],
)
def test_two_runs_on_a_gpu_may_differ_by_rounding(
    adapter: type[Adapter], device: str, ok: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    random.seed(3)
    monkeypatch.setattr(Dice, "info", Rounds.info)
    monkeypatch.setattr("benchmark.conformance.checks.find", lambda name: adapter)
    monkeypatch.setattr("benchmark.conformance.checks._heavy", lambda module: None)
    told = {finding.name: finding for finding in findings("mine", device=device)}["two runs, box3d"]
    assert told.ok == ok
    assert ("rounding on the GPU (DSC of 0.98 or more)" in told.detail) == (device == "cuda")


def test_a_heavy_import_at_the_top_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(lambda: sys.modules.pop("jax", None))  # libraries ask there for it
    (tmp_path / "jax.py").write_text("", encoding="utf-8")  # a name that nothing here imports
    source = "import jax\nfrom baselines.controls import BoxFill\nclass Mine(BoxFill): pass\n"
    (tmp_path / "heavymethod.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    import_rule = broken(findings("heavymethod:Mine"))["import is light"]
    assert "got jax" in import_rule
