"""Sources with client libraries, mocked at their calls: Hugging Face, Drive, IDC, Synapse."""

import hashlib
import inspect
import json
import shutil
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import idc_index_data
import pyarrow.parquet as pq
import pytest

from benchmark import catalogue
from benchmark.errors import UserError
from benchmark.sources import synapse
from benchmark.sources.idc import IdcSource, Series
from tests.benchmark.sources.conftest import Naps
from tests.benchmark.sources.test_fetched import content, source, zipped
from tests.hosts import Page, Server, broken, status

REVISION = "0123456789abcdef" * 2 + "01234567"
SECRET = "hf_s3cr3t-token"


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("HF_TOKEN", "SYNAPSE_AUTH_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path / "data" / "D1" / "raw"


def nowhere_below(folder: Path, secret: str) -> bool:
    files = (path for path in folder.rglob("*") if path.is_file())
    return all(secret.encode() not in path.read_bytes() for path in files)


class Hub:
    """Hugging Face, played: what a repository holds, who may read it, and its files."""

    def __init__(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        import huggingface_hub

        self.server = server
        small, large = b"small", b"large" * 100
        lfs = {"size": 500, "sha256": hashlib.sha256(large).hexdigest(), "pointerSize": 1}
        blob = hashlib.sha1(b"blob 5\0" + small).hexdigest()
        self.files = [
            {"rfilename": "images/a.nii.gz", "size": 500, "blobId": "0", "lfs": lfs},
            {"rfilename": "README.md", "size": 5, "blobId": blob},
        ]
        self.about = self.say(gated=False)
        server.put(f"/datasets/o/r/resolve/{REVISION}/images/a.nii.gz", large)
        server.put(f"/datasets/o/r/resolve/{REVISION}/README.md", small)

        def url(repo: str, path: str, *, revision: str, repo_type: str) -> str:
            return f"{server.address}/{repo_type}s/{repo}/resolve/{revision}/{path}"

        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.address)
        monkeypatch.setattr(huggingface_hub, "hf_hub_url", url)

    def say(self, *, gated: Any) -> Page:
        """What is answered when asked about the repository."""
        about = {"id": "o/r", "gated": gated, "siblings": self.files}
        path = f"/api/datasets/o/r/revision/{REVISION}"
        return self.server.put(path, json.dumps(about).encode(), type="application/json")

    @property
    def tokens(self) -> list[str | None]:
        """What came with the questions, one after the other."""
        asked = [head for path, head in self.server.requests if path.startswith("/api/datasets/")]
        return [head.get("authorization") for head in asked]


@pytest.fixture
def hub(server: Server, monkeypatch: pytest.MonkeyPatch) -> Hub:
    return Hub(server, monkeypatch)


def repository(*names: str) -> Any:
    files = [{"name": name} for name in names]
    return source("huggingface", repo="o/r", revision=REVISION, files=files)


def test_hugging_face_at_a_revision(hub: Hub, raw: Path) -> None:
    got = repository("images/*", "README.md").fetch(raw)
    assert got.state == "ready"
    assert sorted(content(got.root)) == ["README.md", "images/a.nii.gz"]
    assert hub.tokens == [None]  # none of an earlier login is sent


def test_hugging_face_checks_both_of_its_hashes(hub: Hub, server: Server, raw: Path) -> None:
    for name in ("images/a.nii.gz", "README.md"):
        page = server.pages[f"/datasets/o/r/resolve/{REVISION}/{name}"]
        page.content = bytes(reversed(page.content))
        got = repository(name).fetch(raw)
        assert got.state == "failed"
        assert "is not the published file" in str(got.reason)


@pytest.mark.parametrize("gated", ["auto", False])
def test_a_repository_that_asks_for_an_account(
    hub: Hub, server: Server, raw: Path, monkeypatch: pytest.MonkeyPatch, gated: Any
) -> None:
    """Gated, or hidden from who has no access."""
    may_read = server.put("/api/datasets/o/r/auth-check", b"{}")
    about = hub.say(gated=gated)
    code = "GatedRepo" if gated else "RepoNotFound"
    asked = may_read if gated else about
    asked.tricks.append(status(401, X_Error_Code=code))
    made = repository("images/*")
    before = made.fingerprint(raw)
    got = made.fetch(raw)
    assert got.state == "manual"
    assert "accept its terms" in str(got.reason)
    assert made.fingerprint(raw) == before
    monkeypatch.setenv("HF_TOKEN", SECRET)
    assert made.fingerprint(raw) != before
    asked.tricks.append(status(403 if gated else 404, X_Error_Code=code))  # not accepted yet
    got = made.fetch(raw)
    assert got.state == "manual"
    assert made.fingerprint(raw) != got.fingerprint  # each run asks whether they are now
    assert made.fetch(raw).state == "ready"
    assert hub.tokens[-1] == f"Bearer {SECRET}"
    assert server.requests[-1][1]["Authorization"] == f"Bearer {SECRET}"
    assert nowhere_below(raw.parents[1], SECRET)
    ready = made.fingerprint(raw)
    monkeypatch.delenv("HF_TOKEN")
    assert made.fingerprint(raw) == ready  # what is there stays, token or not


def test_hugging_face_on_a_bad_day(hub: Hub, raw: Path, naps: Naps) -> None:
    """Each answer that may pass is waited for by us alone: one question, one nap."""
    hub.about.tricks += [status(503), broken(3), status(429)]
    assert repository("images/*").fetch(raw, naps.patience).state == "ready"
    assert len(naps) == 3
    assert len(hub.tokens) == 4
    hub.about.tricks.append(status(400))
    got = repository("README.md").fetch(raw, naps.patience)
    assert "answered 400" in str(got.reason)


def test_hugging_face_without_a_network(
    raw: Path, naps: Naps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://nowhere.invalid")
    got = repository("images/*").fetch(raw, naps.patience)
    assert got.state == "failed"
    assert "This machine has no network" in str(got.reason)
    assert len(naps) == 1


ZIP = zipped(set__a=b"image")
DRIVE = {"id": "1_abcdefghij", "name": "set.zip", "sha256": hashlib.sha256(ZIP).hexdigest()}


def play_drive(monkeypatch: pytest.MonkeyPatch, *steps: bytes | Exception) -> list[dict[str, Any]]:
    """Let gdown write or raise, one after the other; returns how it was called."""
    import gdown

    script, calls = list(steps), []
    real = inspect.signature(gdown.download)

    def download(*, output: str, **how: Any) -> str:
        real.bind(output=output, **how)
        calls.append(how)
        step = script.pop(0)
        if isinstance(step, Exception):
            raise step
        Path(output).write_bytes(step)
        return output

    monkeypatch.setattr(gdown, "download", download)
    return calls


def test_google_drive(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = play_drive(monkeypatch, ZIP)
    made = source("drive", files=[DRIVE])
    got = made.fetch(raw)
    assert content(got.root) == {"set/a": b"image"}
    assert made.fetch(raw) == got
    assert calls == [{"id": "1_abcdefghij", "resume": True, "use_cookies": False}]


def test_google_drive_on_a_bad_day(raw: Path, monkeypatch: pytest.MonkeyPatch, naps: Naps) -> None:
    import requests
    from gdown.exceptions import FileURLRetrievalError

    made = source("drive", files=[DRIVE])
    play_drive(monkeypatch, requests.ConnectionError("x"), ZIP[:-1])
    got = made.fetch(raw, naps.patience)
    assert len(naps) == 1
    assert "set.zip from Google Drive is not the published file" in str(got.reason)
    play_drive(monkeypatch, b"<!DOCTYPE html><title>Sign in</title>")
    assert "sent a web page instead of set.zip" in str(made.fetch(raw).reason)
    play_drive(monkeypatch, FileURLRetrievalError("Too many users have viewed this file"))
    reason = str(made.fetch(raw).reason)
    assert "too many people have downloaded it lately" in reason
    target = Path(reason.rpartition("save the file as ")[2].rstrip("."))
    target.write_bytes(ZIP)  # as the message says
    play_drive(monkeypatch)
    assert made.fetch(raw).state == "ready"


INDEX = [
    ("CT", "P1", "s1", "1.1", 2, 20, "thin", None),
    ("CT", "P1", "s1", "1.2", 1, 10, "thick", None),
    ("SEG", "P1", "s1", "1.3", 1, 5, None, None),
    ("SEG", "P1", "s1", "1.4", 1, 5, None, "ai"),
    ("CT", "Q2", "s2", "1.5", 1, 10, "thin", None),
]


@pytest.fixture
def idc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[list[str]]]:
    """Play the index of a release and the client: what it is asked for, and what arrives."""
    import idc_index.index
    import idc_index_data
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = ["Modality", "PatientID", "StudyInstanceUID", "SeriesInstanceUID"]
    columns += ["instanceCount", "series_size_MB", "SeriesDescription", "analysis_result_id"]
    table: dict[str, list[Any]] = {
        name: [row[n] for row in INDEX] for n, name in enumerate(columns)
    }
    table["series_size_MB"] = [size / 1e6 for size in table["series_size_MB"]]
    table["collection_id"] = ["c"] * len(INDEX)
    pq.write_table(pa.table(table), tmp_path / "index.parquet")
    monkeypatch.setattr(idc_index_data, "IDC_INDEX_PARQUET_FILEPATH", tmp_path / "index.parquet")
    monkeypatch.setattr(idc_index_data, "__version__", "25.0.5")
    real = inspect.signature(idc_index.index.IDCClient.download_from_selection)
    asked: list[list[str]] = []
    rows = {row[3]: row for row in INDEX}

    def play(*lost: int) -> list[list[str]]:
        """``lost``: how many of the files do not arrive, call by call."""
        script = list(lost)

        class Client:
            def download_from_selection(self, root: str, **how: Any) -> None:
                real.bind(self, root, **how)
                asked.append(how["seriesInstanceUID"])
                files = []
                for uid in how["seriesInstanceUID"]:
                    modality, patient, study, _, count, size, *_ = rows[uid]
                    folder = Path(root) / patient / study / f"{modality}_{uid}"
                    folder.mkdir(parents=True, exist_ok=True)
                    files += [(folder / f"{n}.dcm", size // count) for n in range(count)]
                arriving = len(files) - (script.pop(0) if script else 0)
                for path, size in files[:arriving]:
                    path.write_bytes(b"D" * size)

        monkeypatch.setattr(idc_index.index, "IDCClient", Client)
        return asked

    return play


def test_series_of_the_idc(idc: Callable[..., Any], raw: Path) -> None:
    asked = idc()
    made = source("idc", collection="c", index=25, series={"CT": 3, "SEG": 1})
    got = made.fetch(raw)
    assert (got.state, got.reason, got.files) == ("ready", None, 5)
    assert sorted(asked[0]) == ["1.1", "1.2", "1.3", "1.5"]  # not the annotation of another
    assert sorted(content(got.root))[:2] == ["c/P1/s1/CT_1.1/0.dcm", "c/P1/s1/CT_1.1/1.dcm"]
    assert made.fetch(raw) == got
    assert len(asked) == 1
    fewer = source("idc", collection="c", index=25, series={"SEG": 1})
    assert sorted(content(fewer.fetch(raw.parents[1] / "D2" / "raw").root)) == [
        "c/P1/s1/SEG_1.3/0.dcm"  # not what the first dataset has fetched of the collection
    ]


@pytest.mark.parametrize(
    ("keys", "uids"),
    [
        ({"series": {"CT": None}}, ["1.1", "1.2", "1.5"]),
        ({"series": {"CT": 2}, "patients": "P*"}, ["1.1", "1.2"]),
        ({"series": {"CT": 2}, "descriptions": {"CT": ["thin"]}}, ["1.1", "1.5"]),
        ({"series": {"SEG": 2}, "analysis_results": ["ai"]}, ["1.3", "1.4"]),
    ],
)
def test_series_are_chosen_in_the_index(
    idc: Callable[..., Any], keys: dict[str, Any], uids: list[str]
) -> None:
    made: IdcSource = source("idc", collection="c", index=25, **keys)
    assert [series.uid for series in made.chosen()] == uids


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"series": {"CT": 4}}, "has 3 CT series of c that fit, but the entry knows of 4"),
        ({"series": {"MR": None}}, "has 0 MR series"),
        ({"series": {"CT": 3}, "index": 24}, "pip install 'idc-index-data==24.*'"),
    ],
)
def test_another_index_is_told(
    idc: Callable[..., Any], raw: Path, keys: dict[str, Any], reason: str
) -> None:
    asked = idc()
    got = source("idc", **{"collection": "c", "index": 25, **keys}).fetch(raw)
    assert got.state == "failed"
    assert reason in str(got.reason)
    assert not asked


def test_series_that_did_not_arrive_whole_are_asked_for_again(
    idc: Callable[..., Any], raw: Path, naps: Naps
) -> None:
    asked = idc(2, 1)
    made = source("idc", collection="c", index=25, series={"CT": 3})
    assert made.fetch(raw, naps.patience).state == "ready"
    assert [len(uids) for uids in asked] == [3, 2, 1]
    idc(*[9] * 9)
    got = made.fetch(raw.parents[1] / "D2" / "raw")
    assert got.state == "ready"  # all there


def test_a_series_is_counted_and_weighed(tmp_path: Path) -> None:
    series = Series("1.1", "P", "s", "CT", instances=2, bytes=20)
    folder = tmp_path / series.folder
    assert not series.is_in(tmp_path)
    folder.mkdir(parents=True)
    (folder / "0.dcm").write_bytes(b"x" * 10)
    assert not series.is_in(tmp_path)
    (folder / "1.dcm").write_bytes(b"x" * 9)
    assert not series.is_in(tmp_path)
    (folder / "1.dcm").write_bytes(b"x" * 10)
    assert series.is_in(tmp_path)
    for name in ("1.dcm123456", ".DS_Store", "._1.dcm"):  # none of its files
        (folder / name).write_bytes(b"x" * 10)
    assert series.is_in(tmp_path)


def test_what_a_killed_download_left_is_removed(
    idc: Callable[..., Any], raw: Path, naps: Naps
) -> None:
    idc()
    folder = raw.parents[1] / "downloads" / "idc" / "c" / "P1" / "s1" / "SEG_1.3"
    folder.mkdir(parents=True)
    (folder / "0.dcm123456").write_bytes(b"D" * 3)
    made = source("idc", collection="c", index=25, series={"SEG": 1})
    assert made.fetch(raw, naps.patience).state == "ready"
    assert [path.name for path in folder.iterdir()] == ["0.dcm"]


def test_studies_without_a_segmentation_are_not_fetched(idc: Any, raw: Path, naps: Naps) -> None:
    asked = idc()
    made = source("idc", collection="c", index=25, series={"CT": 2, "SEG": 1}, studies_with="SEG")
    assert made.fetch(raw, naps.patience).state == "ready"
    assert sorted(asked[0]) == ["1.1", "1.2", "1.3"]  # not 1.5, the CT of a study of its own
    with pytest.raises(UserError, match="studies_with: SEG is no modality under series"):
        source("idc", collection="c", index=25, series={"CT": 1}, studies_with="SEG")


PINNED = int(idc_index_data.__version__.partition(".")[0])
COLLECTIONS = {
    f"{name}-{part.collection}": part
    for name in catalogue.names()
    for part in getattr(catalogue.load(name).source, "parts", [catalogue.load(name).source])
    if isinstance(part, IdcSource)
}


@pytest.mark.parametrize("name", COLLECTIONS)
def test_entries_of_the_catalogue_agree_with_the_index(name: str) -> None:
    """Numbers of series and sizes, by the index that comes with idc-index-data."""
    entry = COLLECTIONS[name]
    assert entry.index == PINNED
    chosen = entry.chosen()
    assert len(chosen) == sum(count or 0 for count in entry.series.values())
    assert entry.about_gb == pytest.approx(sum(one.bytes for one in chosen) / 1e9, rel=0.03)


@pytest.mark.parametrize("name", COLLECTIONS)
def test_the_data_of_a_collection_are_cited(name: str) -> None:
    """Licences that ask for attribution ask for that of the images too."""
    part, entry = COLLECTIONS[name], catalogue.load(name.partition("-")[0])
    rows = pq.read_table(
        idc_index_data.IDC_INDEX_PARQUET_FILEPATH,
        columns=["source_DOI", "SeriesInstanceUID"],
        filters=[("collection_id", "==", part.collection)],
    ).to_pylist()
    chosen = {one.uid for one in part.chosen()}
    works = {row["source_DOI"].lower() for row in rows if row["SeriesInstanceUID"] in chosen}
    cited = {str(work).lower() for work in (entry.citation, *entry.data_citations)}
    assert {f"doi:{work}" for work in works} <= cited


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Play the client of Synapse, which need not be installed."""
    played = SimpleNamespace(tokens=[], errors=[])

    class SynapseAuthenticationError(Exception):
        pass

    class SynapseUnmetAccessRestrictions(Exception):  # noqa: N818
        pass

    class SynapseHTTPError(Exception):
        def __init__(self, status: int) -> None:
            self.response = SimpleNamespace(status_code=status)

    class Synapse:
        def __init__(self, silent: bool) -> None:
            assert silent

        def login(self, authToken: str, silent: bool) -> None:  # noqa: N803
            played.tokens.append(authToken)

    def sync(syn: Any, entity: str, *, path: str, manifest: str) -> None:
        if played.errors:
            raise played.errors.pop(0)
        (Path(path) / "set.zip").write_bytes(ZIP)
        (Path(path) / "notes.txt").write_bytes(b"notes")

    errors = ModuleType("synapseclient.core.exceptions")
    for error in (SynapseAuthenticationError, SynapseUnmetAccessRestrictions, SynapseHTTPError):
        setattr(errors, error.__name__, error)
        setattr(played, error.__name__, error)
    modules: dict[str, Any] = {
        "synapseclient": {"Synapse": Synapse},
        "synapseclient.core": {"exceptions": errors},
    }
    for name, members in {**modules, "synapseutils": {"syncFromSynapse": sync}}.items():
        module = ModuleType(name)
        vars(module).update(members)
        module.__spec__ = ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, "synapseclient.core.exceptions", errors)
    return played


SYNAPSE = {"entity": "syn1", "page": "https://example.org/ask", "files": [{"name": "*.zip"}]}


def test_synapse_without_its_client(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synapse, "find_spec", lambda name: None)
    monkeypatch.setenv("SYNAPSE_AUTH_TOKEN", SECRET)
    got = source("synapse", **SYNAPSE).fetch(raw)
    assert got.state == "manual"
    assert "3. install its client: pip install synapseclient" in str(got.reason)


def test_synapse_waits_for_a_token(
    client: SimpleNamespace,
    raw: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = source("synapse", **SYNAPSE)
    before = made.fingerprint(raw)
    got = made.fetch(raw)
    assert got.state == "manual"
    assert "1. ask for access at https://example.org/ask" in str(got.reason)
    assert "export SYNAPSE_AUTH_TOKEN" in str(got.reason)
    assert "pip install" not in str(got.reason)
    assert made.fingerprint(raw) == before
    monkeypatch.setenv("SYNAPSE_AUTH_TOKEN", SECRET)
    assert made.fingerprint(raw) != before
    assert SECRET not in made.fingerprint(raw)
    got = made.fetch(raw)
    assert content(got.root) == {"set/a": b"image"}
    assert client.tokens == [SECRET]
    assert nowhere_below(raw.parents[1], SECRET)
    assert SECRET not in capsys.readouterr().err


def test_what_was_unpacked_is_not_taken_for_published(
    client: SimpleNamespace, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNAPSE_AUTH_TOKEN", SECRET)
    made = source("synapse", **{**SYNAPSE, "files": [{"name": "*set*"}]})
    first = made.fetch(raw)
    assert content(first.root) == {"set/a": b"image"}
    links = json.loads((raw / "links.json").read_text())
    (raw / "fetched.json").unlink()
    assert made.fetch(raw) == first
    assert content(first.root) == {"set/a": b"image"}
    assert json.loads((raw / "links.json").read_text()) == links == ["set"]


@pytest.mark.parametrize("error", ["SynapseAuthenticationError", "SynapseUnmetAccessRestrictions"])
def test_synapse_refuses_the_token(
    client: SimpleNamespace, raw: Path, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    monkeypatch.setenv("SYNAPSE_AUTH_TOKEN", SECRET)
    client.errors.append(getattr(client, error)(f"bad token {SECRET}"))
    got = source("synapse", **SYNAPSE).fetch(raw)
    assert got.state == "manual"
    assert "has no access to syn1" in str(got.reason)
    assert source("synapse", **SYNAPSE).fingerprint(raw) != got.fingerprint  # is tried again
    assert SECRET not in str(got.reason)


def test_synapse_on_a_bad_day(
    client: SimpleNamespace, raw: Path, monkeypatch: pytest.MonkeyPatch, naps: Naps
) -> None:
    monkeypatch.setenv("SYNAPSE_AUTH_TOKEN", SECRET)
    client.errors += [client.SynapseHTTPError(503), OSError(SECRET)]
    made = source("synapse", **SYNAPSE)
    assert made.fetch(raw, naps.patience).state == "ready"
    assert len(naps) == 2
    shutil.rmtree(raw.parents[1] / "downloads")
    client.errors += [client.SynapseHTTPError(404)]
    assert "answered 404 for syn1" in str(made.fetch(raw, naps.patience).reason)
    client.errors += [RuntimeError(f"token {SECRET} is odd")]
    assert made.fetch(raw, naps.patience).reason == "RuntimeError: token *** is odd"
