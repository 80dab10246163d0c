"""What methods prompted by structure find of dropped components neither helps nor costs them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from benchmark import metrics, volume
from benchmark.catalogue import Dataset
from benchmark.inference import MASK_SCHEMA, predict
from benchmark.masks import Mask
from benchmark.metrics import METRICS
from benchmark.prepare import prepare
from benchmark.scoring import Inputs, score
from benchmark.scoring.dropped import without_dropped
from benchmark.specs import Run, Scoring
from benchmark.storage.tables import read_table, write_table
from benchmark.study.sections import REFERENCE_OF_PROTOCOL, Protocol
from tests.conftest import Shard

SPACING = (3.0, 1.0, 1.5)
EVERY_NEIGHBOUR = np.ones((3, 3, 3), dtype=bool)
Found = NDArray[np.bool_]


def large() -> Found:
    mask = np.zeros((14, 24, 26), dtype=bool)
    mask[2:10, 2:12, 2:12] = True
    return mask


def small() -> Found:
    """Three lesions, each far below 10 % of the large one."""
    mask = np.zeros_like(large())
    mask[4:6, 16:18, 4:7] = mask[10:12, 18:21, 18:20] = mask[3, 3, 20] = True
    return mask


def elsewhere() -> Found:
    mask = np.zeros_like(large())
    mask[5:8, 6:9, 17:20] = True
    return mask


def missed() -> Found:
    return np.zeros_like(large())


def rims() -> Found:
    grown: Found = ndimage.binary_dilation(small(), EVERY_NEIGHBOUR)
    return grown


def bridged() -> Found:
    """A small lesion that the prediction joins with the large one."""
    mask = small()
    mask[4:6, 12:16, 4:7] = True
    return mask


Score = Callable[[Found, str, str], dict[str, Any]]


@pytest.fixture
def scored(
    tmp_path: Path,
    entry: Callable[..., Dataset],
    save_scan: Callable[..., None],
    ready: Callable[..., Any],
) -> Score:
    """Return a function that scores a prediction, given as a file, of a prepared scan."""
    raw = tmp_path / "raw"
    save_scan(raw, "a", (large() | small()).astype(np.uint8))
    prepared = prepare(entry(raw), ready(raw), 0)
    assert [row["voxels"] for row in prepared.objects] == [large().sum()]
    shard = Shard(tmp_path / "tables", prepared, (0.0,))

    def make(found: Found, protocol: str, prompt: str) -> dict[str, Any]:
        volume.write(found.astype(np.uint8), SPACING, tmp_path / "a.nii.gz")
        content = {
            **{"adapter": "external", "version": 1, "prompt": "structure", "prompts": "x"},
            **{"weights": None, "weights_sha256": None, "variants": {}, "timed_objects": 0},
            **{"seed": 0, "options": {"files": f"{tmp_path}/{{scan}}", "labels": {1: "lesion"}}},
        }
        run = Run.read(content, "the test's run")
        write_table(predict(run, shard.images, shard.prompts).masks, MASK_SCHEMA, tmp_path / "m")
        masks = read_table(tmp_path / "m")
        if prompt != "structure":  # the same masks, as if they were of a prompted method
            asked = shard.prompts[shard.prompts["kind"] == prompt].set_index("structure")
            masks = masks.assign(object=asked.loc["lesion", "object"])
            masks = masks.assign(prompt_hash=asked.loc["lesion", "hash"])
        rules = {"nsd_tolerance_mm": 2, "tolerances": {}, "empty": {}}
        reference = REFERENCE_OF_PROTOCOL[protocol]  # type: ignore[index]
        settings = Scoring.read({**rules, "reference": reference}, "the test's scoring")
        inputs = Inputs(shard.images, shard.objects, shard.reference, shard.prompts, masks)
        asked_by = run.model_copy(update={"prompt": prompt})
        (row,) = [r for r in score(asked_by, settings, inputs) if r["level"] == "structure"]
        assert row["status"] == "ok", row
        return {name: row[name] for name in METRICS}

    return make


def dense(truth: Found, found: Found) -> dict[str, Any]:
    return metrics.score(truth, found, SPACING, grid_voxels=truth.size, tolerance_mm=2)


@pytest.mark.parametrize("protocol", get_args(Protocol))
def test_a_perfect_label_map_is_perfect_under_every_protocol(scored: Score, protocol: str) -> None:
    found = scored(large() | small(), protocol, "structure")
    assert (found["dsc"], found["nsd"], found["hd95"], found["hd"]) == (1, 1, 0, 0)


@pytest.mark.parametrize("of_small", [missed, small, rims])
def test_dropped_lesions_may_be_found_missed_or_found_roughly(
    scored: Score, of_small: Callable[[], Found]
) -> None:
    found = scored(large() | of_small(), "rigorous", "structure")
    assert found == dense(large(), large())


def test_a_false_lesion_costs_what_it_did(scored: Score) -> None:
    found = scored(large() | small() | elsewhere(), "rigorous", "structure")
    assert found == dense(large(), large() | elsewhere())
    assert found["dsc"] < 1


def test_what_joins_a_dropped_lesion_with_an_object_counts(scored: Score) -> None:
    found = scored(large() | bridged(), "rigorous", "structure")
    assert found == dense(large(), large() | (bridged() & ~small()))


@pytest.mark.parametrize("of_small", [missed, small, rims])
def test_all_counts_against_the_whole_label(scored: Score, of_small: Callable[[], Found]) -> None:
    found = scored(large() | of_small(), "paper", "structure")
    assert found == dense(large() | small(), large() | of_small())


@pytest.mark.parametrize("of_small", [missed, small, rims, bridged])
def test_all_counts_for_methods_that_were_shown_the_object(
    scored: Score, of_small: Callable[[], Found]
) -> None:
    found = scored(large() | of_small(), "rigorous", "box3d")
    assert found == dense(large(), large() | of_small())


@pytest.mark.parametrize("seed", range(40))
def test_any_masks_against_dense_arrays(seed: int) -> None:
    random = np.random.default_rng(seed)
    shape = (int(random.integers(1, 8)), int(random.integers(1, 9)), int(random.integers(1, 9)))
    found, dropped, kept = (random.random(shape) < share for share in (0.1, 0.05, 0.05))
    parts, count = ndimage.label(found, EVERY_NEIGHBOUR)
    expected = np.zeros(shape, dtype=bool)
    for part in (parts == number for number in range(1, count + 1)):
        if (part & kept).any() or not (part & dropped).any():
            expected |= part & ~(dropped & ~kept)
    result = without_dropped(Mask.of(found), Mask.of(dropped), Mask.of(kept))
    assert np.array_equal(result.dense(), expected)
