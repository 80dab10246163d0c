"""The command line: its help, and its messages for mistakes."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_group
from typer.testing import CliRunner, Result

from benchmark import catalogue, cli
from benchmark.errors import UserError

HEAVY = ("torch", "pandas", "SimpleITK", "skimage", "scipy", "matplotlib", "snakemake")
ROOT = Path(__file__).parents[2]
METHOD = "baselines.classical:RegionGrowth"


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, arguments)


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    # -P: as the installed command, Python does not look in the working directory by itself
    command = [sys.executable, "-P", "-m", "benchmark", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


def test_nothing_is_collected_at_exit() -> None:
    """`gc.freeze` excludes what exists from collection; handlers of `atexit` run last first."""
    script = (
        "import atexit, gc; from benchmark.cli import main\n"
        "atexit.register(lambda: print('frozen:', gc.get_freeze_count() > 0))\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "frozen: True"


def test_help_lists_the_commands() -> None:
    result = invoke("--help")
    assert result.exit_code == 0
    for command in ("fetch", "prepare", "prompts", "predict", "score", "collect", "check-adapter"):
        assert f"  {command} " in result.output


def test_help_tells_what_the_workflow_calls_after_what_people_call() -> None:
    people, _, stages = invoke("--help").output.partition("\nStages, called by the workflow:\n")
    listed = {line.split()[0] for line in stages.splitlines() if line.startswith("  ")}
    rules = "".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    assert listed <= set(re.findall(r"pambench ([a-z-]+)", rules))
    assert {"settings", "fetch", "predict", "score-shard", "check"} <= listed
    for command in ("status", "score", "export", "datasets", "weights", "analyse"):
        assert f"\n  {command} " in people


def commands(group: Any, *words: str) -> Iterator[tuple[str, Any]]:
    """Every command and group of commands below ``group``, with its words."""
    for name, command in group.commands.items():
        yield " ".join([*words, name]), command
        yield from commands(command, *words, name) if hasattr(command, "commands") else ()


def test_no_summary_of_a_command_is_cut_off() -> None:
    apps = [cli.app, *(point.load() for point in entry_points(group=cli.COMMANDS))]
    found = [pair for app in apps for pair in commands(get_group(app))]
    assert {"score", "datasets", "datasets plan", "train", "report"} <= {name for name, _ in found}
    cut = [name for name, command in found if command.get_short_help_str(45).endswith("...")]
    assert cut == []


def test_examples_of_the_help_pages_parse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results" / "demo").mkdir(parents=True)
    (tmp_path / "results" / "demo" / "settings.json").touch()  # the only study
    apps = [cli.app, *(point.load() for point in entry_points(group=cli.COMMANDS))]
    found = dict(pair for app in apps for pair in commands(get_group(app)))
    pages = {name: command.epilog for name, command in found.items() if command.epilog}
    assert {"score", "export", "check-adapter", "datasets plan", "estimate"} <= set(pages)
    assert {"weights fetch", "train", "status", "methods list"} <= set(pages)
    for name, page in pages.items():
        examples = re.findall(r"^  pambench (.*)$", page, re.MULTILINE)
        assert examples[0].startswith(name)
        for example in examples:
            words = shlex.split(example)
            named = max((n for n in found if words[: n.count(" ") + 1] == n.split()), key=len)
            found[named].make_context(named, words[named.count(" ") + 1 :])
    assert "\n    pambench estimate my/study.yaml" in invoke("estimate", "--help").output


def test_an_option_without_a_default_is_shown_as_required() -> None:
    shown = invoke("methods", "show", "command").output.splitlines()
    options = [line.split(": ", 1)[1] for line in shown if line.lstrip().startswith("option:")]
    assert "command = required" in options
    assert "timeout_s = 3600" in options
    assert "env = {}" in options


def test_datasets() -> None:
    result = invoke("datasets", "list")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.output.splitlines()] == catalogue.names()
    result = invoke("datasets", "show", "P01")
    assert result.exit_code == 0
    assert result.output.startswith("id: P01\n")
    assert "name: liver" in result.output


def test_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmark.methods.registry.available", lambda: {"growth": METHOD})
    result = invoke("methods", "list")
    assert result.output.split() == ["growth", METHOD]
    for name in ("growth", METHOD):
        result = invoke("methods", "show", name)
        assert result.exit_code == 0
        assert "prompts: mask2d" in result.output
        assert "option: slope = " in result.output


def test_fewer_shards_than_before_leave_none_of_those(tmp_path: Path) -> None:
    assert (
        invoke("fetch", "--dataset", "P10", "--output", str(tmp_path / "status.json")).exit_code
        == 0
    )
    tables = ("images", "objects", "reference", "failures")
    options = ["--dataset", "P10", "--status", str(tmp_path / "status.json"), "--shard", "0"]
    for name in tables:
        old = tmp_path / name / "1.parquet"
        old.parent.mkdir()
        old.touch()
        options += [f"--{name}", str(tmp_path / name / "0.parquet")]
    assert invoke("prepare", *options).exit_code == 0
    for name in tables:
        assert [path.name for path in (tmp_path / name).iterdir()] == ["0.parquet"]


def test_the_version() -> None:
    assert invoke("--version").output == f"pambench {version('pambench')}\n"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--prompt", "mask2d"], "box3d; got mask2d"),
        (["--device", "gpu"], "Unknown device 'gpu'"),
        (["--options", "quantile 0.6"], "not 'quantile 0.6'"),
        (["--options", "{a:"], "--options is not valid YAML"),
    ],
)
def test_a_check_that_would_check_nothing_is_refused(options: list[str], told: str) -> None:
    result = invoke("check-adapter", "box-fill", *options)
    assert result.exit_code == 1
    assert told in result.output + str(result.exception)


def test_an_adapter_is_checked() -> None:
    sound, unknown = invoke("check-adapter", "box-fill"), invoke("check-adapter", "box-fil")
    assert (sound.exit_code, unknown.exit_code) == (0, 1)
    assert sound.stdout.endswith("box-fill conforms\n")
    assert unknown.stdout.endswith("box-fil does not conform yet: 1 to fix\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("datasets", "show", "p01"), "Did you mean: P01"),
        (("methods", "show", "grow"), "Did you mean: growth"),
    ],
)
def test_unknown_names_suggest_the_nearest(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.setattr("benchmark.methods.registry.available", lambda: {"growth": METHOD})
    result = invoke(*arguments)
    assert result.exit_code == 1
    assert isinstance(result.exception, UserError)
    assert message in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("datasets", "show", "P0l"), "pambench: Unknown dataset 'P0l'"),
        (("collect", "--study", "results/nothing"), "No such file: results/nothing/settings.json"),
    ],
)
def test_a_mistake_is_told_without_a_traceback(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("analyse averages --scores s.csv --output o --settings folder", "folder is a folder;"),
        ("status", "Which study? Without --study there must be exactly one in results/"),
        ("status --study file", "file/settings.json has a file where a folder is expected"),
        ("analyse averages --scores s.csv --output file", "file is a file; expected a folder"),
        ("collect --study file", "file/settings.json has a file where a folder is expected"),
        ("settings {} --output folder", "folder is a folder; expected a file"),
    ],
)
def test_a_folder_for_a_file_and_a_file_for_a_folder_are_told(
    arguments: str,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder" / "full").mkdir(parents=True)
    (tmp_path / "file").touch()
    (tmp_path / "s.csv").write_text("dataset,scan,structure,method,dsc\nD,s,liver,m,0.5\n")
    monkeypatch.setattr(sys, "argv", ["pambench", *arguments.split()])
    monkeypatch.setattr(cli, "COMMANDS", "none")
    with pytest.raises(SystemExit):
        cli.main()
    assert f"pambench: {told}" in capsys.readouterr().err


def test_missing_permissions_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused() -> None:
        raise PermissionError(13, "Permission denied", "x")

    monkeypatch.setattr(cli, "app", refused)
    monkeypatch.setattr(cli, "COMMANDS", "none")
    with pytest.raises(SystemExit):
        cli.main()
    assert "pambench: Permission denied: x. Run pambench where" in capsys.readouterr().err


@pytest.mark.parametrize("shard", ["99", "-1"])
def test_a_shard_that_is_none_is_refused(shard: str) -> None:
    result = invoke("datasets", "prepare", "P01", "--shard", shard)
    assert f"P01 has no shard {shard}: it has 1, from 0." in str(result.exception)


def test_a_method_in_the_working_directory_is_found(tmp_path: Path) -> None:
    (tmp_path / "own_method.py").write_text(
        "from benchmark.adapter import Adapter, MethodInfo\n"
        "class Mine(Adapter):\n"
        "    info = MethodInfo(summary='my own', prompts=('box2d',))\n"
        "    def segment(self, volume, prompts): ...\n"
    )
    done = run("methods", "show", "own_method:Mine", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "summary: my own" in done.stdout


def test_listing_is_light() -> None:
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "import benchmark.cli\n"
        "for words in (['--help'], ['methods', 'list'], ['datasets', 'list']):\n"
        "    assert CliRunner().invoke(benchmark.cli.app, words).exit_code == 0\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
