"""The HTML report of a generated study."""

import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from benchmark.analysis import analyse
from benchmark.analysis.settings import AnalysisSettings
from benchmark.errors import UserError
from benchmark.storage.files import read_json, write_json
from reports import headline, html, record_tables, references
from reports.cli import app
from reports.figures import FIGURES
from reports.formatting import format_p
from reports.paper import ledger, ledger_view
from reports.results import Results
from reports.supplement import NAMES, SUPPLEMENT

EMPTY = {"fig4c", "fig4e", "fig4f", "fig4g", "fig5b", "fig5e", "fig6a", "fig6b", "fig6c", "fig6d"}
"""Figures of which the study of the tests has nothing to show."""
_VOID = {"meta", "img", "br", "link", "hr", "input"}


class Reader(HTMLParser):
    """Checks that tags balance; keeps ids, resources and the text outside scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.text += data


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def reported(study: Path) -> Reader:
    options = ["--study", str(study)]
    for command in ("figures", "tables", "ledger", "report"):
        result = CliRunner().invoke(app, [command, *options])
        assert result.exit_code == 0, result.output
    return read((study / "report.html").read_text(encoding="utf-8"))


def test_opens_without_a_network(reported: Reader) -> None:
    for tag, attributes in reported.tags:
        for name in ("src", "srcset", "poster", "data"):
            assert (attributes.get(name) or "data:").startswith("data:")
        assert tag not in {"link", "iframe", "object", "embed"}
    policy = next(a["content"] for _, a in reported.tags if a.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_figures_and_tables_are_named(reported: Reader) -> None:
    images = [attributes for tag, attributes in reported.tags if tag == "img"]
    assert len(images) == len(FIGURES)
    told = [str(attributes["alt"]) for attributes in images]
    for name, entry in FIGURES.items():
        drawn = "No picture: see the caption." if name in EMPTY else entry.seen
        assert f"{entry.title}. {drawn}" in told
    kinds = [tag for tag, _ in reported.tags]
    assert kinds.count("table") == kinds.count("caption") > 9
    heads = [attributes for tag, attributes in reported.tags if tag == "th"]
    assert all(attributes.get("scope") in ("col", "row") for attributes in heads)
    ids = [attributes["id"] for _, attributes in reported.tags if attributes.get("id")]
    assert len(ids) == len(set(ids))
    inner = {str(a["href"])[1:] for t, a in reported.tags if t == "a" and str(a["href"])[0] == "#"}
    assert inner <= set(ids)


@pytest.mark.parametrize("kind", ["Table", "Figure"])
def test_numbers_follow_the_page_without_a_gap(reported: Reader, kind: str) -> None:
    found = [int(number) for number in re.findall(rf"{kind} (\d+)\. ", reported.text)]
    assert found == list(range(1, len(found) + 1))
    assert len(found) > 7


def test_what_is_shown_lies_beside_the_page_as_files(reported: Reader, study: Path) -> None:
    links = {str(a["href"]) for tag, a in reported.tags if tag == "a" and "download" in a}
    for path in links:
        assert (study / path).stat().st_size > 0
    assert {f"figures/{name}.{suffix}" for name in FIGURES for suffix in ("pdf", "svg")} <= links
    assert {f"tables/{name}.{suffix}" for name in NAMES for suffix in ("csv", "tex")} <= links


def test_every_table_of_the_supplement_is_shown_or_says_why_not(reported: Reader) -> None:
    for entry in SUPPLEMENT.values():
        assert entry.heading in reported.text
    assert f"none: {SUPPLEMENT['recovery'].when_empty}" in reported.text


def test_says_what_was_run_and_what_was_not(reported: Reader, study: Path) -> None:
    overall = Results(study).overall
    rows = overall[(overall["metric"] == "dsc") & (overall["split"] == "all")]
    assert f"{rows['ok'].sum()} of {rows['expected'].sum()} expected cells" in reported.text
    for line in rows.to_dict("records"):
        assert f"{line['mean']:.3f} ± {line['sd']:.3f}" in reported.text
        assert f"{line['ok']}/{line['expected']}" in reported.text
    for said in (
        "oracle is a control, not a method",
        "Sign the agreement at the data's site.",
        "out of memory",
        "Generated phantoms: volumes made by a program",
        "CC-BY-4.0",
        "an outline on one slice",
        "with local changes",
    ):
        assert said in re.sub(r"\s+", " ", reported.text)


def test_the_lead_counts_scans_that_were_set_aside(
    reported: Reader, made: Callable[..., Path], tmp_path: Path
) -> None:
    assert "; 1 of 10 scans was set aside. A cell is" in reported.text
    folder = made(tmp_path, 1, 1)
    table = pd.read_parquet(folder / "failures.parquet")
    two = pd.concat([table, table.assign(scan="scan8"), table]).drop_duplicates()
    two.to_parquet(folder / "failures.parquet")
    # By hand: scan8 and scan9 of D01, scan8 of D03; the rows of a method are cells that failed.
    assert "; 3 of 5 scans were set aside. A cell is" in read(html.render(Results(folder))).text
    table.head(0).to_parquet(folder / "failures.parquet")
    assert "scored. A cell is" in re.sub(r" \([^)]*\)", "", read(html.render(Results(folder))).text)


def test_large_counts_have_separators(made: Callable[..., Path], tmp_path: Path) -> None:
    folder = made(tmp_path, 1, 1, failing=False)
    table = pd.read_csv(folder / "statistics/overall.csv")
    table.assign(ok=1200, expected=1500, failed=300).to_csv(
        folder / "statistics/overall.csv", index=False
    )
    told = re.sub(r"\s+", " ", read(html.render(Results(folder))).text)
    rows = int(((table["metric"] == "dsc") & (table["split"] == "all")).sum())
    assert rows == 2  # the method and the oracle
    assert "2,400 of 3,000 expected cells were scored (0 skipped, 600 failed)" in told


def test_the_headline_has_intervals_and_ranks(
    reported: Reader, study: Path, tmp_path: Path
) -> None:
    overall, ranking = Results(study).overall, Results(study).statistics("ranking")
    assert overall["low"].isna().all()  # of three datasets
    assert "no interval" in reported.text
    assert "fewer than 6 units at the outermost level" in reported.text
    folder = Path(shutil.copytree(study, tmp_path / "study"))
    overall.assign(low=0.1234, high=0.9).to_csv(folder / "statistics/overall.csv", index=False)
    assert ranking["low"].isna().all()
    ranking.assign(low=1.26, high=3.0).to_csv(folder / "statistics/ranking.csv", index=False)
    shown = headline.headline(Results(folder))["rows"]
    assert {cell["interval"] for row in shown for cell in row["cells"]} == {"0.123 to 0.900"}
    rows = ranking[(ranking["metric"] == "dsc") & (ranking["scheme"] == "mean")]
    ranks = [f"{round(rank, 1):g}" for rank in rows.loc[rows["split"] == "phantom", "rank"]]
    assert {row["rank"] for row in shown} >= {f"{rank} (1.3 to 3)" for rank in ranks}


def test_ranks_are_said_to_be_over_the_cells_that_all_have(study: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(study, tmp_path / "study"))
    scores = pd.read_parquet(folder / "scores.parquet")
    lost = (scores["method"] == "PAM-1") & (scores["dataset"] == "D03")
    lost |= (scores["method"] == "PAM-1") & (scores["scan"] == "scan1")
    scores[~lost].to_parquet(folder / "scores.parquet")
    settings = AnalysisSettings(resamples=100, controls=("oracle",))
    for name in ("averages", "ranking"):
        inputs = {"scores": folder / "scores.parquet"}
        analyse(name, inputs, folder / "statistics", settings)
    found = headline.headline(Results(folder))
    # Two structures of the first scan of two datasets, of two structures of two scans of three.
    assert found["ranked"].endswith("has one: 4 cells of 2 datasets.")
    (table, *_) = record_tables.printed(Results(folder))
    assert list(table.notes) == [found["ranked"]]
    assert found["ranked"] in read(html.render(Results(folder))).text


def test_the_paper_is_cited_as_the_project_asks() -> None:
    cff = (Path(__file__).parents[2] / "CITATION.cff").read_text(encoding="utf-8")
    assert f'title: "{references.TITLE}"' in cff
    assert f"doi: {references.PAPER.removeprefix('doi:')}" in cff


def test_what_was_used_is_cited(reported: Reader, study: Path) -> None:
    entries = references.cited_works(Results(study))["bibtex"]
    assert entries in reported.text
    assert entries.count("@misc{") == entries.count("\n}\n") == 2
    assert "doi = {10.1038/s41746-025-02087-y}" in entries
    assert "note = {Doe et al. A data set. 2024.}" in entries
    rows = {row["name"]: row for row in references.cited_works(Results(study))["rows"]}
    assert "classic-0" in rows
    assert "oracle" not in rows
    assert not any("D03" in name for name in rows)


def test_the_ledger_tells_what_was_reproduced(made: Callable[..., Path], tmp_path: Path) -> None:
    folder = made(tmp_path, 1, 1, failing=False)
    text = read(html.render(Results(folder))).text
    assert "pambench ledger" in text
    path = ledger.make(Results(folder))
    table = ledger.read(path).set_index("key")
    measured: dict[str, dict[str, Any]] = {
        "dsc_gain_2dbox_vs_medsam": {"ours": 22.9, "low": 20.0, "high": 25.0},
        "p_inference_time": {"ours": 0.2, "verdict": ledger.DIFFERS},
        "n_3d_objects": {"ours": 1645871.0},
        "table1_segvol_dsc": {"ours": 0.6, "low": 0.5, "high": 0.7, "verdict": ledger.WITHIN},
    }
    table["verdict"] = ledger.NOT_HERE
    for key, values in measured.items():
        for column, value in ({"verdict": ledger.REPRODUCED} | values).items():
            table.loc[key, column] = value
    table.to_csv(path)
    found = ledger_view.view(Results(folder))
    absent = len(table) - 4
    counts = {ledger.REPRODUCED: 2, ledger.WITHIN: 1, ledger.DIFFERS: 1, ledger.NOT_HERE: absent}
    assert found["counts"] == list(counts.items())
    rows = {row["name"].replace(" ", "_"): row for row in found["compared"]}
    assert {key: (row["stated"], row["ours"], row["interval"]) for key, row in rows.items()} == {
        "dsc_gain_2dbox_vs_medsam": ("23.1", "22.90", "20.00 to 25.00"),
        "p_inference_time": ("< 0.001", "0.200", ""),
        "n_3d_objects": ("1,645,871", "1,645,871", ""),
        "table1_segvol_dsc": ("0.590", "0.6000", "0.5000 to 0.7000"),
    }
    assert f"{absent} not computable here, and why" in read(html.render(Results(folder))).text


def test_names_are_escaped(made: Callable[..., Path], tmp_path: Path) -> None:
    evil = '<script>alert("1")</script>'
    folder = made(tmp_path, 1, 1, names={"classic-0": evil}, oracle=False)
    text = html.render(Results(folder))
    assert evil not in text
    assert evil in read(text).text
    assert [tag for tag, _ in read(text).tags].count("script") == 1


def test_an_empty_study_gives_a_report(made: Callable[..., Path], tmp_path: Path) -> None:
    folder = made(tmp_path, 1, 1, failing=False)
    for name in ("scores", "times"):
        path = folder / f"{name}.parquet"
        pd.read_parquet(path).head(0).to_parquet(path)
    inputs = {"scores": folder / "scores.parquet"}
    for name in ("averages", "comparison"):
        analyse(name, inputs, folder / "statistics", AnalysisSettings())
    reader = read(html.render(Results(folder)))
    assert "No scores." in reader.text
    assert "run pambench figures" in reader.text


def test_a_folder_without_a_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"settings\.json"):
        Results(tmp_path)


def test_the_weights_are_named_with_what_they_were_trained_on(
    made: Callable[..., Path], tmp_path: Path
) -> None:
    folder = made(tmp_path, 1, 1, failing=False)
    record = read_json(folder / "record.json")
    record["methods"]["classic-0"] |= {"weights": "small", "weights_sha256": "ab" * 32}
    record["methods"]["classic-0"] |= {"weights_trained_on": ["generated shapes"]}
    write_json(folder / "record.json", record)
    text = read(html.render(Results(folder))).text
    assert text.count("small, trained on generated shapes, SHA-256 abababababab") == 2


def test_switches_that_are_not_the_protocols_are_told(
    made: Callable[..., Path], tmp_path: Path
) -> None:
    folder = made(tmp_path, 1, 2, failing=False)
    header = "rigorous: with the stricter choices of this project"
    plain, record = page(folder), read_json(folder / "record.json")
    switches = {"propagation": {"thickness": 45.0, "average": "probabilities"}}
    record["methods"]["PAM-1"]["made_by"] = {"departures": switches}
    write_json(folder / "record.json", record)
    told, own = page(folder), "; except for switches of their own in PAM-1"
    assert squeezed(f"{header} Machine") in plain
    assert squeezed(f"{header}{own} Machine") in told
    assert "thickness45.0" not in plain
    assert "propagationthickness45.0averageprobabilities" in told


def test_what_ran_on_the_cpu_in_place_of_a_gpu_is_told(
    made: Callable[..., Path], tmp_path: Path
) -> None:
    folder = made(tmp_path, 1, 2, failing=False)
    told = {
        "PAM-1": ({"cpu": 2, "NVIDIA H100": 3}, "PAM-1 ran on the CPU in 2 of 5 shards, though"),
        "classic-0": ({"cpu": 4}, "classic-0 ran on the CPU, though"),
    }
    record = read_json(folder / "record.json")
    for gpu in (False, True):
        for method, (shards_on, _) in told.items():
            record["methods"][method] |= {"gpu": gpu, "shards_on": shards_on}
        write_json(folder / "record.json", record)
        text = page(folder)
        assert [squeezed(words) in text for _, words in told.values()] == [gpu, gpu]
    record["methods"]["PAM-1"]["shards_on"] = {"cpu": 4}
    write_json(folder / "record.json", record)
    assert squeezed("classic-0, PAM-1 ran on the CPU, though they can use") in page(folder)


def test_numbers_of_two_states_of_a_method_are_told(
    made: Callable[..., Path], tmp_path: Path
) -> None:
    folder = made(tmp_path, 1, 2, failing=False)
    told = squeezed("The masks of PAM-1 were made by different states of mine.py, so")
    assert told not in page(folder)
    record = read_json(folder / "record.json")
    record["methods"]["PAM-1"]["mixed_source"] = ["mine.py"]
    write_json(folder / "record.json", record)
    assert told in page(folder)


def squeezed(text: str) -> str:
    return re.sub(r"\s", "", text)


def page(folder: Path) -> str:
    return squeezed(read(html.render(Results(folder))).text)


P_VALUES = [(0.00009, "< 0.0001"), (0.0011, "0.0011"), (0.0496, "0.0496"), (0.04996, "< 0.05")]
P_VALUES += [(0.05, "0.0500"), (0.2345, "0.234"), (1.0, "1.000")]


@pytest.mark.parametrize(("p", "text"), P_VALUES)
def test_p_value(p: float, text: str) -> None:
    assert format_p(p) == text
