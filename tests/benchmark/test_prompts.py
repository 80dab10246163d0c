"""Prompts against a plain loop over dense arrays, and the authors' own choices."""

import subprocess
import sys
from math import floor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from benchmark import prompts
from benchmark.masks import Mask
from benchmark.prompts import SCHEMA, Box2D, Box3D, Mask2D, Prompt, derive, from_row
from benchmark.storage.tables import read_table, records, write_table

Rows = list[dict[str, Any]]
OBJECTS = hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=9))
DEVIATIONS = (-1.0, -0.3, -0.2, -0.05, 0.0, 0.1, 0.2, 0.5, 1.0)


def of_kind(rows: Rows, kind: str) -> Rows:
    return [row for row in rows if row["kind"] == kind]


def column(areas: list[int], axis: int = 0) -> Mask:
    """An object with these areas on its slices along ``axis``."""
    array = np.zeros((len(areas), 1, max(areas)), dtype=bool)
    for index, area in enumerate(areas):
        array[index, 0, :area] = True
    return Mask.of(np.moveaxis(array, 0, axis))


def shift_and_slice(areas: list[int], deviation: float) -> tuple[int, int]:
    row = next(derive(column(areas), 0, [deviation]))
    return row["shift"], row["slice"]


@given(OBJECTS, st.integers(0, 2))
def test_derived_as_by_a_plain_loop(array: NDArray[np.bool_], axis: int) -> None:
    assume(array.any())
    stack = np.moveaxis(array, axis, 0)
    filled = [index for index, plane in enumerate(stack) if plane.any()]
    largest = filled[0]
    for index in filled:
        if stack[index].sum() >= stack[largest].sum():  # ties: the last
            largest = index

    rows = list(derive(Mask.of(array), axis, DEVIATIONS))
    boxes, masks, solid = (of_kind(rows, kind) for kind in ("box2d", "mask2d", "box3d"))
    assert len(boxes) == len(masks) == len(DEVIATIONS)
    for deviation, row, of_mask in zip(DEVIATIONS, boxes, masks, strict=True):
        start = filled.index(largest)
        steps = floor(round(abs(deviation) * len(filled), 9)) * int(np.sign(deviation))
        position = min(max(start + steps, 0), len(filled) - 1)
        expected = filled[position]
        for each in (row, of_mask):
            assert (each["slice"], each["axis"]) == (expected, axis)
            assert each["deviation"] == deviation
            assert each["shift"] == position - start
            assert each["effective_deviation"] == (position - start) / len(filled)

        alone = np.zeros_like(array)
        place = tuple(slice(expected, expected + 1) if a == axis else slice(None) for a in range(3))
        alone[place] = array[place]
        inside = np.argwhere(alone)
        box, mask = from_row(row, Mask.of(array).shape), from_row(of_mask, Mask.of(array).shape)
        assert isinstance(box, Box2D)
        assert isinstance(mask, Mask2D)
        np.testing.assert_array_equal(box.box[::2], inside.min(axis=0))
        np.testing.assert_array_equal(box.box[1::2], inside.max(axis=0) + 1)
        assert mask.box == box.box
        np.testing.assert_array_equal(mask.mask.dense(), alone)
        np.testing.assert_array_equal(mask.plane, stack[expected])

    (row,) = solid
    whole = from_row(row, Mask.of(array).shape)
    assert isinstance(whole, Box3D)
    assert whole.box == Mask.of(array).box
    assert (row["deviation"], row["effective_deviation"], row["shift"]) == (0, 0, 0)


# From infer/infer___slice_deviation.py (czifan/PAM), run on objects with these areas on slices
# 0 to 15: direction, ratio, guiding slice of the one of constant area, of the lobed one.
CONSTANT = [0] * 3 + [192] * 8 + [0] * 5
LOBED = [0, 0, 115, 199, 265, 293, 305, 293, 265, 199, 115, 1, 0, 0, 0, 0]
AUTHORS = [
    (-1, 0.20, 9, 4),
    (-1, 0.15, 9, 5),
    (-1, 0.10, 10, 5),
    (-1, 0.05, 10, 6),
    (1, 0.20, 10, 8),
    (1, 0.15, 10, 7),
    (1, 0.10, 10, 7),
    (1, 0.05, 10, 6),
]


@pytest.mark.parametrize(("direction", "ratio", "constant", "lobed"), AUTHORS)
def test_slices_of_the_authors_script(
    direction: int, ratio: float, constant: int, lobed: int
) -> None:
    assert shift_and_slice(CONSTANT, direction * ratio)[1] == constant
    assert shift_and_slice(LOBED, direction * ratio)[1] == lobed


@pytest.mark.parametrize("count", range(1, 45))
def test_five_percent_moves_no_object_under_twenty_slices(count: int) -> None:
    areas = [1] * count
    areas[count // 2] = 2
    for deviation in (-0.05, 0.05):
        shift, _ = shift_and_slice(areas, deviation)
        assert abs(shift) == count // 20


def test_moves_follow_the_slices_that_are_not_empty() -> None:
    """Slices 1, 5 and 9 hold the object; one step of three goes to the next of them."""
    areas = [0, 3, 0, 0, 0, 4, 0, 0, 0, 2]
    assert shift_and_slice(areas, 0.0) == (0, 5)
    assert shift_and_slice(areas, 0.34) == (1, 9)
    assert shift_and_slice(areas, -0.34) == (-1, 1)
    assert shift_and_slice(areas, 0.33) == (0, 5)


@pytest.mark.parametrize(("deviation", "shift"), [(-1.0, -4), (-0.4, -4), (1.0, 5), (0.3, 3)])
def test_moves_are_clamped_to_the_ends_and_what_took_effect_is_kept(
    deviation: float, shift: int
) -> None:
    row = next(derive(column([1, 1, 1, 1, 2, 1, 1, 1, 1, 1]), 0, [deviation]))
    assert row["shift"] == shift
    assert row["effective_deviation"] == shift / 10


def test_hash_is_the_same_in_another_process() -> None:
    code = (
        "import numpy as np\n"
        "from benchmark.masks import Mask\n"
        "from benchmark.prompts import derive\n"
        "a = np.zeros((4, 5, 6)); a[1:3, 2:4, 1:5] = 1; a[2, 2, 5] = 1;"
        "print(*(row['hash'] for row in derive(Mask.of(a), 0, [0.0])))"
    )
    array = np.zeros((4, 5, 6))
    array[1:3, 2:4, 1:5] = 1
    array[2, 2, 5] = 1
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [row["hash"] for row in derive(Mask.of(array), 0, [0.0])]


def test_another_place_content_or_rule_has_another_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    plane = np.ones((1, 3, 3), dtype=bool)
    holed = plane.copy()
    holed[0, 1, 1] = False

    def mask2d(part: NDArray[np.bool_], offset: tuple[int, int, int]) -> Mask2D:
        return Mask2D(0, offset[0], Mask.of(part, offset=offset, shape=(9, 9, 9)))

    different: list[Prompt] = [
        mask2d(plane, (2, 2, 2)),
        mask2d(holed, (2, 2, 2)),
        mask2d(plane, (2, 2, 3)),
        mask2d(plane, (3, 2, 2)),
        Box2D(0, 2, (2, 3, 2, 5, 2, 5)),
        Box2D(0, 2, (2, 3, 2, 5, 2, 6)),
        Box2D(1, 2, (2, 3, 2, 5, 2, 5)),
        Box3D((2, 3, 2, 5, 2, 5)),
        Box3D((2, 4, 2, 5, 2, 5)),
    ]
    assert len({prompt.hash for prompt in different}) == len(different)
    assert mask2d(plane, (2, 2, 2)).hash == different[0].hash
    assert all(len(prompt.hash) == 16 for prompt in different)
    for name, other in (("VERSION", prompts.VERSION + 1), ("RULE", "another")):
        with monkeypatch.context() as changed:
            changed.setattr(prompts, name, other)
            assert Box3D((2, 3, 2, 5, 2, 5)).hash != different[7].hash


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_round_trip_through_a_table(tmp_path: Path, axis: int) -> None:
    array = np.random.default_rng(axis).random((7, 8, 9)) < 0.1
    rows = [{"object": "a/b/1", **row} for row in derive(Mask.of(array), axis, DEVIATIONS)]
    write_table(rows, SCHEMA, tmp_path / "prompts.parquet")
    back = records(read_table(tmp_path / "prompts.parquet"))
    assert len(back) == 2 * len(DEVIATIONS) + 1
    for row, read in zip(rows, back, strict=True):
        prompt = from_row(read, (7, 8, 9))
        assert prompt.kind == row["kind"]
        assert prompt.hash == row["hash"] == read["hash"]
        assert read["effective_deviation"] == row["effective_deviation"]


def test_a_structure_is_asked_for_once_a_scan_and_tells_no_place(shard: Any) -> None:
    rows = records(shard.prompts[shard.prompts["kind"] == "structure"])
    assert [(row["scan"], row["object"]) for row in rows] == [
        (scan, f"{scan}/{structure}") for scan in ("a", "b") for structure in ("lesion", "organ")
    ]
    asked = [from_row(row, (10, 16, 18)) for row in rows]
    assert {prompt.box for prompt in asked} == {(0, 10, 0, 16, 0, 18)}
    assert [prompt.hash for prompt in asked] == [row["hash"] for row in rows]
    assert len({prompt.hash for prompt in asked}) == 2
    assert {(row["views"], row["clicks"], row["deviation"]) for row in rows} == {(0, 0, 0.0)}


def test_unknown_kind_of_prompt() -> None:
    row = next(derive(column([1]), 0, [0.0]))
    with pytest.raises(ValueError, match="'points'"):
        from_row({**row, "kind": "points"}, (1, 1, 1))


def test_costs() -> None:
    """Two clicks span a box; a square needs a click a corner, a ragged outline more."""
    square = np.zeros((3, 30, 30), dtype=bool)
    square[1, 5:25, 5:25] = True
    ragged = square.copy()
    ragged[1, 5:25:4, 20:25] = False
    ragged[1, 6:25:4, 20:25] = False

    def clicks(array: NDArray[np.bool_]) -> dict[str, tuple[int, int]]:
        return {r["kind"]: (r["views"], r["clicks"]) for r in derive(Mask.of(array), 0, [0.0])}

    assert clicks(square) == {"box2d": (1, 2), "mask2d": (1, 4), "box3d": (2, 4)}
    assert clicks(ragged)["mask2d"][1] > 12
