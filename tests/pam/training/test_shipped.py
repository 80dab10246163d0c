"""The shipped weights match their entry, and their scores on generated cases are as they were.

So a change of the flow shows; one that is meant changes the scores here and in the card.
"""

from pathlib import Path

import numpy as np
import pytest

import pam
from benchmark.weights import registry as weights
from benchmark.weights import store as weights_store
from pam import box_presets, checkpoints, presets
from pam.network import Box2Mask, PropMask
from pam.training import recipe as recipes
from pam.training.holdout import examples, score, score_boxes
from pam.weight_files import read_network

FOLDER = Path(pam.__file__).parent / "weights"


def test_the_entry_is_that_of_the_files(tmp_path: Path) -> None:
    entry = weights.load("pam-small")
    status = weights_store.fetch(entry, tmp_path)
    assert status.state == "ready", status.reason
    assert Path(status.root) == FOLDER
    assert sum(path.stat().st_size for path in FOLDER.glob("*.safetensors")) < 20_000_000
    assert entry.trained_on is not None
    assert not entry.trained_on.datasets


def test_another_file_in_the_place_of_a_shipped_one_is_no_broken_download(tmp_path: Path) -> None:
    shipped = weights.load("pam-small")
    other = shipped.files[0].model_copy(update={"sha256": 64 * "0"})
    entry = shipped.model_copy(update={"files": (other, *shipped.files[1:])})
    status = weights_store.fetch(entry, tmp_path)
    assert status.state == "failed"
    assert "is not as published" in str(status.reason)
    assert "It ships with the project" in str(status.reason)


@pytest.mark.parametrize("kind", [PropMask, Box2Mask])
def test_the_header_is_that_of_the_recipe(kind: type[PropMask] | type[Box2Mask]) -> None:
    path = FOLDER / f"pam-small-{kind.kind}.safetensors"
    assert checkpoints.load(path).config == recipes.load(f"small-{kind.kind}").network


def test_the_card_names_every_switch_of_the_headers() -> None:
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    configs = read_network(FOLDER, PropMask).config, read_network(FOLDER, Box2Mask).config
    switches = {key for config in configs for key in config.inference} - {"size"}
    assert {key for key in switches if f"`{key}" not in card} == set()


def test_propmask_beats_a_copy_of_true_length_and_stops() -> None:
    network = read_network(FOLDER, PropMask)
    settings = presets.RIGOROUS.model_copy(update=network.config.inference)
    rows = score(network, settings, examples(6))
    whole = [r for r in rows if r["distance"] == 0]
    assert len(whole) >= 30
    assert np.mean([r["dsc"] for r in whole]) == pytest.approx(0.797, abs=0.01)
    assert np.mean([r["dsc"] - r["copied"] for r in whole]) == pytest.approx(0.103, abs=0.01)
    assert np.mean([r["dsc"] for r in rows if r["absent"]]) > 0.7


def test_box2mask_beats_the_box() -> None:
    network = read_network(FOLDER, Box2Mask)
    settings = box_presets.RIGOROUS.model_copy(update=network.config.inference)
    rows = score_boxes(network, settings, examples(8))
    assert np.mean([r["dsc"] for r in rows]) == pytest.approx(0.847, abs=0.01)
    assert np.mean([r["dsc"] - r["copied"] for r in rows]) == pytest.approx(0.096, abs=0.01)
