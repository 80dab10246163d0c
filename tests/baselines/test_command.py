"""A program as a method: its input, its output, and the message for each way to fail."""

import json
import os
import re
import select
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from baselines import process
from baselines.command import Command
from benchmark import volume
from benchmark.adapter import Prediction
from benchmark.conformance.checks import findings
from benchmark.errors import MachineError, UserError
from benchmark.machine.machine_errors import raise_if_machine_error
from benchmark.masks import Mask
from benchmark.prompts import Box3D, Mask2D, Prompt, StructureName
from benchmark.volume import Volume

DOCS = Path(__file__).parents[2] / "docs" / "external-methods.md"
BOX = (1, 3, 1, 4, 2, 5)

COPY = """
import json, os, sys
from pathlib import Path
import numpy as np
import SimpleITK as sitk
def work(folder):
    folder = Path(folder)
    job = json.loads((folder / "job.json").read_text())
    image = sitk.ReadImage(str(folder / "image_0000.nii.gz"))
    for prompt in job["prompts"]:
        z0, z1, y0, y1, x0, x1 = prompt["box"]
        mask = np.zeros(job["shape"], np.uint8)
        mask[z0:z1, y0:y1, x0:x1] = 1
        if os.environ.get("MODE") == "whole":
            mask[:] = 1
        if "mask" in prompt:
            mask = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / prompt["mask"])))
        made = sitk.GetImageFromArray(mask)
        made.CopyInformation(image)
        sitk.WriteImage(made, str(folder / "masks" / f"{prompt['id']}.nii.gz"))
"""
ONCE = COPY + "work(sys.argv[1])\n"
STAYS = (
    COPY
    + """
print("loaded", sys.argv[1:], flush=True)
starts = Path(sys.argv[1])
starts.write_text(starts.read_text() + "x" if starts.exists() else "x")
for line in sys.stdin:
    work(line.strip())
    print("done", flush=True)
"""
)


def scan() -> Volume:
    array = np.random.default_rng(1).normal(size=(4, 5, 6)).astype(np.float32)
    array.flags.writeable = False
    return Volume(array, (3.0, 1.0, 1.5), "CT")


def method(tmp_path: Path, source: str, *arguments: str, **options: Any) -> Command:
    path = tmp_path / "program.py"
    path.write_text(source, encoding="utf-8")
    words = [sys.executable, str(path), *arguments]
    made = Command({"command": shlex.join(words), "timeout_s": 120, **options})
    made.load(None, "cpu")
    return made


def ask(adapter: Command, *prompts: Prompt) -> list[Prediction]:
    return list(adapter.segment(scan(), prompts or [Box3D(BOX)]))


def test_masks_come_back_for_every_kind_of_prompt(tmp_path: Path) -> None:
    flat = np.zeros((4, 5, 6), bool)
    flat[2, 1:3, 1:5] = flat[2, 4, 1] = True
    prompts = (
        Box3D(BOX),
        Mask2D(0, 2, Mask.of(flat)),
        StructureName("liver", (0, 4, 0, 5, 0, 6)),
    )
    box, mask, whole = ask(method(tmp_path, ONCE, "{folder}"), *prompts)
    assert box.mask is not None
    assert mask.mask is not None
    assert whole.mask is not None
    assert np.argwhere(box.mask).min(axis=0).tolist() == [1, 1, 2]
    assert box.mask.sum() == 2 * 3 * 3
    assert np.array_equal(mask.mask, flat)
    assert whole.mask.all()


def test_the_folder_holds_what_the_page_says(tmp_path: Path) -> None:
    keep = tmp_path / "kept"
    source = f"import shutil, sys; shutil.copytree(sys.argv[1], {str(keep)!r})"
    ask(method(tmp_path, source, "{folder}"), StructureName("liver", (0, 4, 0, 5, 0, 6)))
    job = json.loads((keep / "job.json").read_text(encoding="utf-8"))
    (row,) = re.findall(r"\| `job.json` \| (.*) \|", DOCS.read_text(encoding="utf-8"))
    assert set(job) == set(re.findall(r"`(\w+)`", row))
    assert job["prompts"][0]["structure"] == "liver"
    image = sitk.ReadImage(str(keep / job["images"][0]))
    assert np.array_equal(sitk.GetArrayFromImage(image), scan().array)
    assert image.GetSpacing() == (1.5, 1.0, 3.0)
    assert [path.name for path in keep.iterdir() if path.is_dir()] == ["masks"]


@pytest.mark.parametrize("stays", [False, True])
def test_a_gpu_that_failed_in_a_program_ends_the_job(stays: bool, tmp_path: Path) -> None:
    """What torch says of it is followed by advice, and by what is said at the end."""
    error = (
        "CUDA error: an illegal memory access was encountered\n"
        "Search for `cudaErrorIllegalAddress' in https://docs.nvidia.com/cuda/cuda-runtime-api/"
        "group__CUDART__TYPES.html for more information.\n"
        "CUDA kernel errors might be asynchronously reported at some other API call, so the "
        "stacktrace below might be incorrect.\n"
        "For debugging consider passing CUDA_LAUNCH_BLOCKING=1\n"
        "Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.\n"
    )
    source = ("input()\n" if stays else "") + f"raise RuntimeError({error!r})"
    adapter = method(tmp_path, source, *([] if stays else ["{folder}"]), keep_running=stays)
    with pytest.raises(MachineError, match=r"The GPU failed.*an illegal memory access") as raised:
        ask(adapter)
    assert "in <module>" not in str(raised.value)  # the reason stays short


def test_each_channel_is_a_file(tmp_path: Path) -> None:
    keep = tmp_path / "kept"
    source = f"import shutil, sys; shutil.copytree(sys.argv[1], {str(keep)!r})"
    array = np.stack([np.zeros((2, 3, 4)), np.ones((2, 3, 4))]).astype(np.float32)
    several = Volume(array, (1.0, 1.0, 1.0), "MR", ("T1", "T2"))
    list(method(tmp_path, source, "{folder}").segment(several, [Box3D((0, 1, 0, 1, 0, 1))]))
    assert volume.read([keep / "image_0001.nii.gz"]).array.min() == 1


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("raise SystemExit('no such model')", r"exit code 1: no such model"),
        ("import os; os._exit(127)", r"not found \(exit code 127\)"),
        ("import os; os._exit(137)", r"137\), most likely for want of memory"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", r"want of memory"),
        ("pass", r"no mask: masks/0.nii.gz was not written"),
        (
            "import sys; open(sys.argv[1] + '/failures.json', 'w').write('{\"0\": \"too faint\"}')",
            "^too faint$",
        ),
        (
            "import sys; open(sys.argv[1] + '/failures.json', 'w').write('null')",
            "^failures.json holds no object of reasons",
        ),
        (
            "import sys; open(sys.argv[1] + '/failures.json', 'w').write('{')",
            "^failures.json is not valid JSON",
        ),
        ("import sys; sys.exit(sys.argv[1] + '/job.json: too new')", "code 1: job.json: too new$"),
        (
            "import sys; open(sys.argv[1] + '/masks/0.nii.gz', 'w').write('?')",
            r"^masks/0.nii.gz: unreadable",
        ),
    ],
)
def test_each_way_to_fail_has_its_reason(tmp_path: Path, source: str, expected: str) -> None:
    (failed,) = ask(method(tmp_path, source, "{folder}"))
    assert failed.mask is None
    assert re.search(expected, str(failed.failure))


def test_a_program_may_delete_the_image_that_it_was_given(tmp_path: Path) -> None:
    source = ONCE + "os.remove(sys.argv[1] + '/image_0000.nii.gz')\n"
    answers = ask(method(tmp_path, source, "{folder}"), Box3D(BOX), Box3D(BOX))
    assert [answer.failure for answer in answers] == [None, None]


def test_a_mask_on_another_grid_fails_alone(tmp_path: Path) -> None:
    spoil = ONCE + (
        "sitk.WriteImage(sitk.Image(2, 2, 2, sitk.sitkUInt8), sys.argv[1] + '/masks/1.nii.gz')\n"
    )
    good, bad = ask(method(tmp_path, spoil, "{folder}"), Box3D(BOX), Box3D(BOX))
    assert good.failure is None
    assert "masks/1.nii.gz is not on the grid of the image" in str(bad.failure)


def test_a_folder_that_cannot_be_taken_away_costs_no_mask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A container may leave files of another user."""
    import tempfile

    def refusing(does: Any) -> Any:
        def does_it(path: Any, *given: Any, **options: Any) -> None:
            if Path(path).name == "anothers":
                raise PermissionError(1, "Operation not permitted")
            does(path, *given, **options)

        return does_it

    source = ONCE + "(Path(sys.argv[1]) / 'anothers').mkdir()\n"
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with monkeypatch.context() as patch:
        for name in ("rmdir", "chmod"):
            patch.setattr(os, name, refusing(getattr(os, name)))
        answers = ask(method(tmp_path, source, "{folder}"), Box3D(BOX), Box3D(BOX))
    assert [answer.failure for answer in answers] == [None, None]
    assert f"{tmp_path}/pambench-" in capsys.readouterr().err


def test_a_program_that_does_not_end_is_ended_with_its_children(tmp_path: Path) -> None:
    told = tmp_path / "child"
    source = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(told)!r}, 'w').write(str(child.pid))\n"
        "time.sleep(600)\n"
    )
    (failed,) = ask(method(tmp_path, source, "{folder}", timeout_s=2.0))
    assert "no end after 2 s" in str(failed.failure)
    assert _ends(int(told.read_text()))


@pytest.mark.parametrize("stays", [False, True])
def test_a_program_ends_with_a_killed_parent_and_so_do_its_children(
    stays: bool, tmp_path: Path
) -> None:
    told = tmp_path / "pids"
    source = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(told)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}} ')\n"
        "time.sleep(600)\n"
    )
    command = [sys.executable, "-c", source]
    call = f"process.run({command!r}, timeout_s=None)"
    if stays:
        call = f"process.Server({command!r}).request('')"
    parent = subprocess.Popen([sys.executable, "-c", f"from baselines import process; {call}"])
    try:
        while len(pids := told.read_text().split() if told.exists() else []) < 2:
            assert parent.poll() is None
            time.sleep(0.02)
    finally:
        parent.kill()
        parent.wait()
    assert all(_ends(int(pid)) for pid in pids)


def _ends(pid: int) -> bool:
    """Whether a process ends; one that was sent a signal may be running for a moment still."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], 60)[0])
    finally:
        os.close(process)


def test_a_program_that_stays_is_started_once_and_shared_by_variants(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    adapter = method(tmp_path, STAYS, str(starts), keep_running=True)
    for one in (adapter, adapter, adapter.with_options({"timeout_s": 60})):
        assert [answer.failure for answer in ask(one)] == [None]
    assert starts.read_text() == "x"


def test_variants_of_another_environment_have_a_program_of_their_own(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    adapter = method(tmp_path, STAYS, str(starts), keep_running=True, env={"MODE": "box"})
    whole = adapter.with_options({"env": {"MODE": "whole"}})
    voxels = []
    for one in (adapter, whole, adapter, whole):
        (answer,) = ask(one)
        assert answer.mask is not None, answer.failure
        voxels.append(int(answer.mask.sum()))
    assert voxels == [2 * 3 * 3, 4 * 5 * 6] * 2
    assert starts.read_text() == "xx"


def test_a_variant_waits_as_long_as_it_is_told(tmp_path: Path) -> None:
    """Of one program that answers once, and then no more."""
    source = "import time\ninput()\nprint('done', flush=True)\ntime.sleep(600)\n"
    adapter = method(tmp_path, source, keep_running=True)
    (answered,) = ask(adapter)
    assert "no mask" in str(answered.failure)
    (late,) = ask(adapter.with_options({"timeout_s": 0.5}))
    assert "no answer after 0.5 s" in str(late.failure)


def test_an_answer_that_comes_twice_is_none_to_the_next_scan(tmp_path: Path) -> None:
    twice = STAYS + "    print('done', flush=True)\n"
    adapter = method(tmp_path, twice, str(tmp_path / "starts"), keep_running=True)
    for _ in range(3):
        (answer,) = ask(adapter)
        assert answer.mask is not None, answer.failure
        time.sleep(0.2)  # until the second answer is there


def test_a_program_that_ended_is_noticed_though_its_child_runs_on(tmp_path: Path) -> None:
    source = "import os, subprocess\nsubprocess.Popen(['sleep', '600'])\ninput()\nos._exit(3)\n"
    (failed,) = ask(method(tmp_path, source, keep_running=True, timeout_s=60))
    assert "ended without an answer: exit code 3" in str(failed.failure)


def test_a_program_that_ended_after_its_answer_is_told_by_its_exit_code(tmp_path: Path) -> None:
    source = "import os\ninput()\nprint('done', flush=True)\nos._exit(137)\n"
    adapter = method(tmp_path, source, keep_running=True)
    (answered,) = ask(adapter)
    assert "no mask" in str(answered.failure)
    (server,) = adapter.servers.values()
    server._running().wait(timeout=60)
    (failed,) = ask(adapter)
    assert "most likely for want of memory" in str(failed.failure)


def test_a_program_that_closes_its_output_and_runs_on_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_END_S", 0.5)
    source = "import os, time\ninput()\nos.close(1)\ntime.sleep(600)\n"
    (failed,) = ask(method(tmp_path, source, keep_running=True))
    assert "runs on, but closed its input or output" in str(failed.failure)


def test_only_a_whole_line_is_an_answer(tmp_path: Path) -> None:
    noise = "for said in ('done loading', 'done.', 'ready', 'errors 0'): print(said, flush=True)\n"
    adapter = method(tmp_path, noise + STAYS, str(tmp_path / "starts"), keep_running=True)
    for box in (BOX, (0, 1, 2, 3, 4, 5), BOX):
        (answer,) = ask(adapter, Box3D(box))
        assert answer.mask is not None, answer.failure
        low, high = np.argwhere(answer.mask).min(axis=0), np.argwhere(answer.mask).max(axis=0) + 1
        assert [*low, *high] == [*box[::2], *box[1::2]]


@pytest.mark.parametrize(
    ("said", "failure"),
    [
        ("error scan too large", "scan too large"),
        ("error: scan too large", "scan too large"),
        ("error", "error without a reason"),
        ("error:", "error without a reason"),
    ],
)
def test_an_error_is_told_with_or_without_a_reason(said: str, failure: str, tmp_path: Path) -> None:
    source = f"for line in open(0): print({said!r}, flush=True)\n"
    (failed,) = ask(method(tmp_path, source, keep_running=True))
    assert failed.failure == failure


def test_a_program_that_stays_is_started_anew_after_its_end(tmp_path: Path) -> None:
    source = "import sys\nfor line in sys.stdin:\n    sys.exit('out of luck')\n"
    adapter = method(tmp_path, source, keep_running=True)
    for _ in range(2):
        (failed,) = ask(adapter)
        assert "ended without an answer: exit code 1: out of luck" in str(failed.failure)


def test_a_program_that_stays_ends_a_job_with_its_gpu_and_is_ended_when_late(
    tmp_path: Path,
) -> None:
    source = "for line in open(0): print('error CUDA error: launch failure', flush=True)\n"
    with pytest.raises(MachineError, match="The GPU failed"):  # it would not get over it
        ask(method(tmp_path, source, keep_running=True))
    silent = "time.sleep(600)"
    steps = "[(print('step', flush=True), time.sleep(0.1)) for step in range(50)]"
    talking = f"{steps}; print('done', flush=True)"
    for work in (silent, talking):
        source = f"import time\nfor line in open(0): {work}\n"
        adapter = method(tmp_path, source, keep_running=True, timeout_s=0.5)
        (late,) = ask(adapter)
        assert "no answer after 0.5 s" in str(late.failure)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"command": "tool"}, "holds {folder} unless"),
        ({"command": "tool {folder}", "keep_running": True}, "holds {folder} unless"),
        ({"command": []}, "command"),
        ({}, "command"),
        ({"command": "tool {folder}", "env": {"API_TOKEN": "x"}}, "export API_TOKEN instead"),
    ],
)
def test_commands_that_cannot_work_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Command(options)


def test_settings_of_a_library_are_no_secrets() -> None:
    env = {"TOKENIZERS_PARALLELISM": "false"}
    assert Command({"command": "tool {folder}", "env": env}).options.env == env


def test_a_warning_about_a_disk_is_not_the_reason_of_a_later_error() -> None:
    script = "echo '[Errno 28] No space left on device, going on' >&2; seq 100 >&2; exit 3"
    with pytest.raises(process.ProcessError) as raised:
        process.run(["sh", "-c", script], timeout_s=60)
    raise_if_machine_error(raised.value)
    assert "exit code 3" in str(raised.value)


def test_a_program_that_is_not_here_is_asked_for() -> None:
    assert Command({"command": "no-such-program {folder}"}).missing_requirement() == (
        "no program no-such-program here"
    )
    with pytest.raises(process.ProcessError, match="cannot be started"):
        process.run(["no-such-program"], timeout_s=1)


def test_the_program_of_the_page_conforms(tmp_path: Path) -> None:
    (source,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    path = tmp_path / "program.py"
    path.write_text(source, encoding="utf-8")
    (failed, *_) = ask(method(tmp_path, source, "{folder}"))
    assert failed.failure is None
    command = shlex.join([sys.executable, str(path), "{folder}"])
    found = findings("command", {"command": command}, kinds=("box3d",))
    assert [finding for finding in found if not finding.ok] == []


def test_a_job_is_given_what_the_options_tell() -> None:
    resources = Command({"command": "run {folder}"}).resources
    assert resources == (1, 1, 8000)
    told = {"command": "run {folder}", "gpu": False, "threads": 3, "memory_mb": 500}
    resources = Command(told).resources
    assert resources == (0, 3, 500)
