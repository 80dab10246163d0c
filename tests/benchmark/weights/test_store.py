"""Weights on disk: found, verified by hash, recorded, added by hand, converted."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmark.cli import app
from benchmark.errors import UserError
from benchmark.sources.http import HttpSource
from benchmark.storage import paths
from benchmark.storage.files import read_json, write_json
from benchmark.weights import store
from benchmark.weights.registry import Weights

CONTENT = b"not quite a network"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()
MANUAL = {"kind": "manual", "page": "https://example.org", "steps": ["sign the form"]}


def of(*files: Any, source: Any = MANUAL) -> Weights:
    content = {"id": "net", "name": "Net", "source": source, "files": files or ["sub/net.pt"]}
    return Weights.read(content, "net.yaml")


def one(**known: Any) -> Weights:
    return of({"path": "sub/net.pt", **known})


def put(raw: Path, content: bytes = CONTENT, name: str = "sub/net.pt") -> Path:
    path = raw / "files" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@contextmanager
def reading(path: Path) -> Iterator[list[Path]]:
    """A list that grows by one each time that the file is opened."""
    times: list[Path] = []

    def opened(self: Path, *how: Any, **more: Any) -> Any:
        times.extend([self] if self == path else [])
        return real(self, *how, **more)

    real = Path.open
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", opened)
        yield times


def as_the_workflow(entry: Weights, raw: Path) -> str:
    """Fetch; give the fingerprint that the workflow holds against later ones."""
    before = store.fingerprint(entry, raw)
    (raw / "status.json").unlink(missing_ok=True)  # as Snakemake does before the job
    store.write_status(store.fetch(entry, raw), entry, raw)
    return before


def copy_twice(source: Path, target: Path, *, times: int) -> None:
    """A converter."""
    target.write_bytes(source.read_bytes() * times)


@pytest.mark.parametrize(
    "known", [{}, {"sha256": SHA256}, {"md5": MD5, "size": len(CONTENT), "sha256": SHA256}]
)
def test_right(tmp_path: Path, known: dict[str, Any]) -> None:
    path = put(tmp_path)
    with reading(path) as times:
        status = store.fetch(one(**known), tmp_path)
    assert len(times) == 1
    assert (status.state, status.reason) == ("ready", None)
    assert store.path_for_adapter(status, tmp_path, "net.yaml") == path
    assert status.sha256 == {"sub/net.pt": SHA256}


@pytest.mark.parametrize(
    ("known", "told"),
    [
        ({"sha256": "0" * 64}, f"sha256 is {SHA256}, expected {'0' * 64}"),
        ({"md5": "0" * 32, "sha256": SHA256}, f"md5 is {MD5}, expected {'0' * 32}"),
        ({"size": 1000}, f"{len(CONTENT)} bytes, expected 1,000"),
    ],
)
def test_wrong(tmp_path: Path, known: dict[str, Any], told: str) -> None:
    put(tmp_path)
    status = store.fetch(one(**known), tmp_path)
    assert status.state != "ready"
    assert told in str(status.reason)
    with pytest.raises(UserError, match=told):
        store.verify(one(**known), tmp_path)


def test_missing_tells_the_command(tmp_path: Path) -> None:
    status = store.fetch(one(), tmp_path)
    assert status.state == "manual"
    assert "sign the form" in str(status.reason)
    assert "pambench weights fetch net --from" in str(status.reason)
    named = store.fetch(one(), tmp_path, "my/net.yaml").reason
    assert "pambench weights fetch my/net.yaml --from" in str(named)


def test_another_file_in_its_place(tmp_path: Path) -> None:
    put(tmp_path, name="other.pt")
    reason = store.fetch(one(), tmp_path).reason
    assert f"Missing below {tmp_path / 'files'}: sub/net.pt" in str(reason)


def test_what_has_no_published_hash_is_recorded_at_first_use(tmp_path: Path) -> None:
    path = put(tmp_path)
    assert store.fetch(one(), tmp_path).state == "ready"
    assert read_json(tmp_path / "recorded.json") == {"sub/net.pt": SHA256}
    path.write_bytes(b"another")
    changed = store.fetch(one(), tmp_path)
    assert changed.state != "ready"
    assert f"expected {SHA256} as when it was first used" in str(changed.reason)
    (tmp_path / "recorded.json").unlink()
    assert store.fetch(one(), tmp_path).state == "ready"


def test_sources_are_tried_in_their_order(tmp_path: Path) -> None:
    sources = [{"kind": "local", "path": str(tmp_path / n)} for n in ("none", "wrong", "right")]
    for name, content in (("wrong", b"x"), ("right", CONTENT)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "net.pt").write_bytes(content)
    file = {"path": "net.pt", "sha256": SHA256}
    status = store.fetch(of(file, source=sources), tmp_path / "raw")
    assert (status.state, status.root) == ("ready", str(tmp_path / "right"))
    status = store.fetch(of(file, source=sources[:2]), tmp_path / "raw")
    assert status.state == "failed"
    assert "There is no file below" in str(status.reason)
    assert f"expected {SHA256}" in str(status.reason)


def test_files_of_an_installed_package(tmp_path: Path) -> None:
    source = {"kind": "packaged", "package": "benchmark", "folder": "metrics"}
    found = store.fetch(of("__init__.py", "overlap.py", source=source), tmp_path)
    assert found.state == "ready"
    folder = store.path_for_adapter(found, tmp_path, "net.yaml")
    assert folder is not None
    assert (folder / "overlap.py").is_file()
    for wrong in ({"folder": "nothing"}, {"package": "no_such_package"}):
        reason = store.fetch(of("a", source=source | wrong), tmp_path).reason
        assert "reinstall it" in str(reason)


def test_news_is_what_a_person_did_and_not_the_fetch_itself(tmp_path: Path) -> None:
    entry, seen = one(), store.fingerprint(one(), tmp_path)

    def fetch() -> None:
        as_the_workflow(entry, tmp_path)

    fetch()
    assert store.fingerprint(entry, tmp_path) == seen
    put(tmp_path)
    by_hand = store.fingerprint(entry, tmp_path)
    assert by_hand != seen
    fetch()
    assert store.fingerprint(entry, tmp_path) == by_hand
    write_json(tmp_path / "status.json", read_json(tmp_path / "status.json") | {"fingerprint": "p"})
    assert store.fingerprint(entry, tmp_path) == "p"  # a fetch that found less when it began
    put(tmp_path, b"another")
    assert store.fingerprint(entry, tmp_path) not in ("p", seen)


def test_other_files_beside_the_weights_are_no_news(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    local = {"kind": "local", "path": str(tmp_path / "own")}
    packaged = {"kind": "packaged", "package": "a_package", "folder": "weights"}
    places = {"own": local, "a_package/weights": packaged, "raw/files": MANUAL}
    for name, source in places.items():
        entry, raw = of("net.pt", source=source), tmp_path / "raw"
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / name / "net.pt").write_bytes(CONTENT)
        known = as_the_workflow(entry, raw)
        (tmp_path / name / "README.md").write_text("What these are.")
        assert store.fingerprint(entry, raw) == known
        (tmp_path / name / "net.pt").write_bytes(CONTENT * 2)
        assert store.fingerprint(entry, raw) != known
        for path in (raw / "status.json", raw / "recorded.json", tmp_path / name / "net.pt"):
            path.unlink()


def test_weights_that_are_lost_are_no_news_and_have_no_path_for_an_adapter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import yaml

    monkeypatch.chdir(tmp_path)
    Path("net.yaml").write_text(yaml.safe_dump(one().model_dump(mode="json")))
    Path("net.pt").write_bytes(CONTENT)
    raw, run = paths.weights_folder(one().id), CliRunner().invoke
    taken = ["weights", "fetch", "net.yaml", "--from", "net.pt"]
    assert run(app, taken).exit_code == 0
    known, status = as_the_workflow(one(), raw), (raw / "status.json").read_bytes()
    (raw / "files" / "sub" / "net.pt").unlink()
    assert store.fingerprint(one(), raw) == known
    with pytest.raises(UserError, match=r"To get them again: pambench weights fetch net\.yaml"):
        store.path_for_adapter(store.WeightsStatus.load(raw / "status.json"), raw, "net.yaml")
    assert "are not there" in str(run(app, ["weights", "fetch", "net.yaml"]).exception)
    assert store.fingerprint(one(), raw) == known
    assert run(app, taken).exit_code == 0
    assert store.fingerprint(one(), raw) == known
    assert (raw / "status.json").read_bytes() == status


def test_what_was_downloaded_by_hand_is_taken_if_it_is_right(tmp_path: Path) -> None:
    given = tmp_path / "Downloads" / "net (1).pt"
    given.parent.mkdir()
    given.write_bytes(b"broken")
    with pytest.raises(UserError, match=f"expected {SHA256}.*not taken"):
        store.import_files(one(sha256=SHA256), given, tmp_path / "raw")
    assert not (tmp_path / "raw").exists()
    given.write_bytes(CONTENT)
    store.import_files(one(sha256=SHA256), given, tmp_path / "raw")
    assert store.fetch(one(sha256=SHA256), tmp_path / "raw").state == "ready"
    with pytest.raises(UserError, match=r"a folder that holds a\.pt, b\.pt"):
        store.import_files(of("a.pt", "b.pt"), given, tmp_path / "two")
    for name in ("a.pt", "b.pt"):
        (given.parent / name).write_bytes(CONTENT)
    store.import_files(of("a.pt", "b.pt"), given.parent, tmp_path / "two")
    assert store.fetch(of("a.pt", "b.pt"), tmp_path / "two").files == 2


def test_runs_take_what_was_converted_from_these_very_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert = {"function": f"{__name__}:copy_twice", "arguments": {"times": 2}}
    with pytest.raises(UserError, match=r"Missing below .*pambench weights fetch my\.yaml --from"):
        store.convert(of({"path": "net.pt", "convert": convert}), tmp_path, "my.yaml")
    path = put(tmp_path, name="net.pt")
    entry = of({"path": "net.pt", "convert": convert})
    monkeypatch.setattr("benchmark.weights.registry.load", lambda _: entry)
    (made,) = store.convert(entry, tmp_path)
    assert made.name == "net.safetensors"
    assert made.read_bytes() == CONTENT * 2
    assert store.path_for_adapter(store.fetch(entry, tmp_path), tmp_path, "my.yaml") == made
    path.write_bytes(b"a newer one")
    (tmp_path / "recorded.json").unlink()
    assert store.path_for_adapter(store.fetch(entry, tmp_path), tmp_path, "my.yaml") == path
    with pytest.raises(UserError, match="no converter"):
        store.convert(of("net.pt"), tmp_path)
    with pytest.raises(UserError, match="cannot be imported"):
        store.convert(of({"path": "net.pt", "convert": {"function": "no.such:thing"}}), tmp_path)


def stops(_: Path, target: Path) -> None:
    """A converter that ends when it has written its file."""
    target.write_bytes(b"of the newer one")
    raise KeyboardInterrupt


def test_converted_files_are_those_of_these_files_converter_and_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def by(function: str, **arguments: Any) -> Weights:
        convert = {"function": f"{__name__}:{function}", "arguments": arguments}
        return of({"path": "net.pt", "convert": convert})

    def handed(entry: Weights) -> Path | None:
        monkeypatch.setattr("benchmark.weights.registry.load", lambda _: entry)
        return store.path_for_adapter(store.fetch(entry, tmp_path), tmp_path, "my.yaml")

    entry, path = by("copy_twice", times=2), put(tmp_path, name="net.pt")
    (made,) = store.convert(entry, tmp_path)
    assert handed(entry) == made
    assert handed(by("copy_twice", times=3)) == path
    made.write_bytes(CONTENT)
    with pytest.raises(UserError, match=r"not as it was converted.*weights convert my\.yaml"):
        handed(entry)
    store.convert(entry, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        store.convert(by("stops"), tmp_path)
    assert handed(entry) == path


def test_what_is_here_is_converted_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of a source on this disk are here, those of an address are not until a fetch."""
    (tmp_path / "net.pt").write_bytes(CONTENT)
    convert = {"function": f"{__name__}:copy_twice", "arguments": {"times": 1}}
    file = {"path": "net.pt", "convert": convert}
    local = {"kind": "local", "path": str(tmp_path)}
    web = {"kind": "http", "files": [{"url": "https://example.org/net.pt"}]}
    monkeypatch.setattr(HttpSource, "fetch", lambda *_: pytest.fail("asked the network"))
    (made,) = store.convert(of(file, source=local), tmp_path / "raw")
    assert made.read_bytes() == CONTENT
    with pytest.raises(UserError, match="Missing below"):
        store.convert(of(file, source=web), tmp_path / "other")


def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import yaml

    monkeypatch.chdir(tmp_path)
    Path("net.yaml").write_text(yaml.safe_dump(one(sha256=SHA256).model_dump(mode="json")))
    Path("net.pt").write_bytes(CONTENT)
    run = CliRunner().invoke
    assert "sign the form" in str(run(app, ["weights", "fetch", "net.yaml"]).exception)
    for command in ("verify", "convert"):
        told = str(run(app, ["weights", command, "net.yaml"]).exception)
        assert "To get them: pambench weights fetch net.yaml --from" in told
    assert run(app, ["weights", "fetch", "net.yaml", "--from", "net.pt"]).exit_code == 0
    assert (
        f"{SHA256}  sub/net.pt  (as published)"
        in run(app, ["weights", "verify", "net.yaml"]).output
    )
    listed = run(app, ["weights", "list"]).output
    assert "pam-released: PAM, PropMask" in listed
    here = dict(re.findall(r"^(\S+): .*\n.*\n +here: (.*)$", listed, re.MULTILINE))
    assert here["pam-released"] == "not looked for yet"
    assert here["pam-small"] == "yes, not checked yet"  # ships with the package


def test_weights_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file, weights that ship, an entry that was fetched; all else is asked for."""
    monkeypatch.chdir(tmp_path)
    Path("net.pt").write_bytes(CONTENT)
    assert store.locate("net.pt", download=False) == (Path("net.pt"), None)
    Path("pam-small").mkdir()  # an id means the entry, as in a study file
    path, entry = store.locate("pam-small", download=False)
    assert (path / "pam-small-propmask.safetensors").is_file()
    assert entry is not None
    assert entry.id == "pam-small"
    for download in (False, True):
        with pytest.raises(UserError, match=r"no file medsam here\. .*Did you mean: medsam2"):
            store.locate("medsam", download=download)
    with pytest.raises(
        UserError, match=r"are not on this machine\. To get them: pambench weights fetch medsam2"
    ):
        store.locate("medsam2", download=False)
    with pytest.raises(UserError, match=r"not on this machine.*weights fetch pam-released --from"):
        store.locate("pam-released", download=True)
