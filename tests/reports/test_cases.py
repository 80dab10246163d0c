"""Which cases the browser holds, and that their content matches the files."""

import base64
import gzip
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from matplotlib.figure import Figure
from skimage.transform import downscale_local_mean

from benchmark import objects
from benchmark.geometry import row_shape
from benchmark.masks import Mask
from benchmark.storage import paths
from benchmark.storage.files import write_json
from benchmark.storage.tables import read_table, records, write_table
from reports import html, panels
from reports.cases import build, encoding, links, page
from reports.cases.choice import choose, judged
from reports.cases.loading import load_case
from reports.results import Results


def scores(values: dict[str, tuple[float | None, float | None]]) -> pd.DataFrame:
    """Scores of methods a and b for objects named ``dataset/object``; None is a failure."""
    rows = [
        {
            "dataset": name.split("/")[0],
            "scan": "s",
            "object": name.split("/")[1],
            "structure": "liver",
            "modality": "CT",
            "method": method,
            "status": "failed" if dsc is None else "ok",
            "dsc": dsc,
        }
        for name, pair in values.items()
        for method, dsc in zip("ab", pair, strict=True)
    ]
    return pd.DataFrame(rows)


def chosen(table: pd.DataFrame, shown: set[str], most: int) -> list[tuple[str, list[str]]]:
    rows = choose(judged(table, "ab"), shown, most)
    return [(f"{row['dataset']}/{row['object']}", row["kinds"]) for row in rows]


def test_the_worst_the_disputed_and_the_best_take_turns() -> None:
    table = scores(
        {
            "A/low": (0.1, 0.2),
            "A/lower": (0.05, 0.2),
            "A/apart": (0.2, 0.9),
            "A/high": (0.9, 0.9),
            "B/middle": (0.5, 0.5),
            "B/broken": (0.6, None),
            "C/secret": (0.0, 1.0),
        }
    )
    names = [name for name, _ in chosen(table, {"A", "B"}, 5)]
    assert names == ["A/lower", "A/apart", "A/high", "B/broken", "B/middle"]
    every = dict(chosen(table, {"A", "B"}, 99))
    assert len(every) == 6
    assert every["B/broken"] == ["failed", "best"]
    assert every["A/low"] == ["worst"]
    assert chosen(table, set(), 9) == []
    assert chosen(table, {"A"}, 0) == []


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20), st.sampled_from("ABC")), min_size=2),
    st.integers(0, 40),
)
def test_the_best_and_the_worst_stand_on_their_side(
    pairs: list[tuple[int, int, str]], most: int
) -> None:
    values: dict[str, Any] = {
        f"{name}/{i}": (a / 20, b / 20) for i, (a, b, name) in enumerate(pairs)
    }
    middle = np.median([np.mean(pair) for pair in values.values()])
    found = chosen(scores(values), set("ABC"), most)
    assert len(found) == min(most, len(values))
    for name, kinds in found:
        assert kinds
        assert len(kinds) == len(set(kinds))
        assert "best" not in kinds or np.mean(values[name]) >= middle - 1e-9
        assert "worst" not in kinds or np.mean(values[name]) <= middle + 1e-9


def test_every_object_of_a_small_study_is_not_of_every_kind() -> None:
    means = [0.12, 0.2, 0.238, 0.31, 0.55, 0.6, 0.72, 0.8, 0.85, 0.9, 0.93, 0.97]
    table = scores({f"{'AB'[i > 3]}/{i:02d}": (dsc, dsc) for i, dsc in enumerate(means)})
    found = dict(chosen(table, {"A", "B"}, 24))
    assert len(found) == 12
    assert "best" not in found["A/02"]
    assert all("best" in found[f"B/{i:02d}"] for i in (9, 10, 11))
    assert not any({"worst", "best"} <= set(kinds) for kinds in found.values())


def test_a_failure_enters_neither_mean_nor_spread() -> None:
    found = judged(scores({"A/x": (0.4, None), "A/y": (None, None), "A/z": (0.2, 0.5)}), "ab")
    found = found.set_index("object")
    assert found.loc["x", "mean"] == 0.4
    assert found["mean"].isna().tolist() == [False, True, False]
    assert found["spread"].round(6).fillna(-1).tolist() == [-1, -1, 0.3]
    assert found["failed"].tolist() == [1, 2, 0]


@given(arrays.arrays(np.float32, (3, 4, 5), elements=st.floats(-3000, 3000, width=32)))
def test_codes_of_ct_are_true_to_a_step(image: Any) -> None:
    channel = encoding.encode(image, "CT")
    back = np.interp(channel.codes, channel.marks, channel.values)
    clipped = np.clip(image, -1024, 2000)
    soft = (clipped > -200) & (clipped < 300)
    assert np.abs(back - clipped)[soft].max(initial=0) <= 500 / 180 / 2 + 0.01
    assert np.abs(back - clipped).max() <= 1700 / 35 / 2 + 0.01


def test_codes_of_others_span_the_percentiles() -> None:
    image = np.linspace(-5, 11, 4096, dtype=np.float32).reshape(16, 16, 16)
    channel = encoding.encode(image, "MR")
    low, high = np.percentile(image, [0.1, 99.9])
    assert channel.values == pytest.approx((low, high))
    assert (channel.codes.min(), channel.codes.max()) == (0, 255)
    back = np.interp(channel.codes, channel.marks, channel.values)
    assert np.abs(back - np.clip(image, low, high)).max() <= (high - low) / 255 / 2 + 1e-5
    flat = encoding.encode(np.ones((2, 2, 2), np.float32), "MR")
    assert all(low < high for low, high in flat.windows.values())


def test_large_crops_are_reduced_along_the_finest_axis_first() -> None:
    assert encoding.step((90, 90, 90), (1, 1, 1)) == (1, 1, 1)
    assert encoding.step((40, 200, 200), (5.0, 0.8, 0.8)) == (1, 2, 2)
    steps = encoding.step((400, 400, 400), (1, 1, 1))
    assert np.prod([-(-400 // s) for s in steps]) <= encoding.MOST_VOXELS


@pytest.mark.parametrize("steps", [(1, 2, 3), (2, 2, 1)])
def test_blocks_are_averaged(steps: encoding.Step) -> None:
    image = np.random.default_rng(1).normal(size=(4, 6, 9)).astype(np.float32)
    expected = downscale_local_mean(image, steps)
    assert encoding.reduce(image, steps) == pytest.approx(expected, abs=1e-6)
    uneven = encoding.reduce(np.ones((3, 5, 7), dtype=bool), (2, 2, 2))
    assert uneven.shape == (2, 3, 4)
    assert (uneven == 1).all()


def test_a_case_holds_the_pixels_of_its_scan(study: Path) -> None:
    results = Results(study)
    content = build.content(results, 12.0)
    assert {case["dataset"] for case in content["cases"]} == {"D01"}
    assert (content["scored"], content["allowed"], len(content["cases"])) == (12, 4, 4)
    assert content["forbidden"] == ["D02", "D03"]
    assert content["bytes"] == sum(len(case["pixels"]) for case in content["cases"])
    for entry in content["cases"]:
        case = load_case(results, entry, build.MARGIN_MM)
        assert tuple(entry["shape"]) == case.image.shape
        data = gzip.decompress(base64.b64decode(entry["pixels"]))
        size = case.image.size
        codes = np.frombuffer(data[:size], np.uint8).reshape(case.image.shape)
        (about,) = entry["channels"]
        grey = np.interp(codes, about["marks"], about["values"])
        assert np.abs(grey - case.image).max() < 1.5
        bits = np.frombuffer(data[size:], np.uint8).reshape(1 + len(entry["masks"]), -1)
        masks = np.unpackbits(bits, axis=1, count=size).reshape(-1, *case.image.shape)
        assert (masks[0] == case.truth).all()
        for name, mask in zip(entry["masks"], masks[1:], strict=True):
            given = case.answers[name].mask
            assert given is not None
            assert (mask == given).all()
        assert entry["guide"]["index"] == case.index


def test_images_of_all_datasets_may_be_kept(study: Path) -> None:
    content = build.content(Results(study), 12.0, private=True)
    assert content["forbidden"] == []
    assert content["allowed"] == content["scored"] == 12


def test_the_budget_bounds_the_size(study: Path) -> None:
    """A case that does not fit is counted; a smaller one after it may still find room."""
    sizes = [len(case["pixels"]) for case in build.content(Results(study), 12.0)["cases"]]
    for room in (sum(sizes), sum(sizes) - 1, sizes[0], min(sizes) - 1):
        content = build.content(Results(study), room / 1e6)
        taken = 0
        for size in sizes:
            taken += size if taken + size <= room else 0
        assert content["bytes"] == taken <= room
        assert len(content["cases"]) + content["over"] == len(sizes)
    assert build.content(Results(study), 0)["cases"] == []


def test_voxels_that_are_not_evaluated_are_not_shown(
    made: Callable[..., Path], tmp_path: Path
) -> None:
    """Every other sagittal slice is not evaluated: no mask of a method is there."""
    results = Results(made(tmp_path, 1, 2, failing=False))
    entry = build.content(results, 12.0)["cases"][0]
    at = {"dataset": entry["dataset"], "shard": 0}
    path = results.workdir / paths.at(paths.REFERENCE, **at)
    images = read_table(results.workdir / paths.at(paths.IMAGES, **at))
    shape = row_shape(records(images[images["scan"] == entry["scan"]])[0])
    odd = Mask.of(np.broadcast_to(np.arange(shape[2]) % 2 == 1, shape))
    row = {"scan": entry["scan"], "structure": None, "object": None, **odd.to_row()}
    write_table([*records(read_table(path)), row], objects.REFERENCE_SCHEMA, path)
    case = load_case(results, entry, build.MARGIN_MM)
    masks = [answer.mask for answer in case.answers.values() if answer.mask is not None]
    assert all(mask.any() for mask in masks)
    assert masks
    for mask in masks:
        assert len({x % 2 for x in np.flatnonzero(mask.any(axis=(0, 1)))}) == 1


def test_what_is_not_there_is_named(study: Path, tmp_path: Path) -> None:
    alone = tmp_path / "results" / "generated"
    shutil.copytree(study, alone)
    content = build.content(Results(alone), 12.0)
    assert content["cases"] == []
    assert {entry["object"].split("/")[0] for entry in content["missing"]} == {"D01"}
    assert len(content["missing"]) == 4
    build.make(Results(alone), 12.0)
    told = html.render(Results(alone)).partition("because files are missing: ")[2]
    told = told.partition("</li>")[0]
    assert told.count("/1 (") == 3  # a reason each
    assert told.endswith(" and 1 more: see <code>cases.json</code>")


def test_images_are_found_from_any_folder(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One scan's path is relative to the folder of the workflow, as `prepare` writes them."""
    monkeypatch.chdir(tmp_path)
    content = build.content(Results(study), 12.0)
    assert content["missing"] == []
    assert {case["scan"] for case in content["cases"]} == {"scan0", "scan1"}
    monkeypatch.chdir(study)
    assert len(panels.load(Results(Path()))) == 3  # the best, the median and the worst


def test_the_report_says_what_is_left_out(made: Callable[..., Path], tmp_path: Path) -> None:
    folder = made(tmp_path, 3, 1, failing=False)
    assert "run <code>pambench cases</code>" in html.render(Results(folder))
    build.make(Results(folder), 12.0)
    text = html.render(Results(folder))
    assert "4 of 12 objects" in text
    assert "D02, D03 (licence: CC-BY-4.0)" in text
    assert "Filled: in the case browser and the table below; hollow: only in <code>" in text
    assert text.count('<th scope="row"><a href="#case:') == 4  # of the 12 objects of the plot
    assert "as well" not in text.partition("<figcaption>DSC of")[2].partition("</figcaption>")[0]
    assert "the table of cases says the same" not in text
    assert "case-pixels-3" in text
    assert "case-pixels-4" not in text


def test_niivue_is_the_published_file() -> None:
    """The hash that its README states, which is that of the file in the package on npm."""
    digest = hashlib.sha256((page.ASSETS / page.NIIVUE).read_bytes()).hexdigest()
    assert f"`{digest}`" in (page.ASSETS / "README.md").read_text(encoding="utf-8")
    assert digest == "47b896b77ec4a5be3ef1949c33ad393b6f45629921f326c279000bcf51bdb4af"


def test_points_of_a_figure_lead_to_what_is_there(tmp_path: Path) -> None:
    """Each place, in percent of the picture, is where matplotlib puts the point."""
    figure = Figure(figsize=(4, 3))
    axes = figure.add_axes((0.1, 0.1, 0.8, 0.8))
    axes.set(xlim=(0, 10), ylim=(0, 1))
    addresses = [links.case("A", "s 1/liver/1"), links.cases("A", "liver"), links.cases("B")]
    links.mark(axes, [0, 5, 10], [0.5, 1.0, 0.0], addresses)
    figure.savefig(tmp_path / "figure.svg")
    known = {"case:A/s 1/liver/1", "cases:A/ liver"}
    found = links.spots((tmp_path / "figure.svg").read_text(encoding="utf-8"), known)
    assert [spot["href"] for spot in found] == ["#case:A/s%201/liver/1", "#cases:A/%20liver"]
    places = [(float(spot["left"]), float(spot["top"])) for spot in found]
    assert places == [pytest.approx((10, 50), abs=0.02), pytest.approx((50, 10), abs=0.02)]


def test_a_study_without_scores_has_no_cases(study: Path, tmp_path: Path) -> None:
    for path in study.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "scores.parquet").unlink()
    pd.read_parquet(study / "scores.parquet").head(0).to_parquet(tmp_path / "scores.parquet")
    results = Results(tmp_path)
    content = build.content(results, 12.0)
    assert (content["cases"], content["scored"], content["forbidden"]) == ([], 0, [])
    write_json(tmp_path / build.NAME, content)
    shown = page.page(results)
    assert (shown["index"]["points"], shown["pixels"]) == ([], [])
