"""Recipes: the shipped ones load, and mistakes are reported."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.errors import UserError
from pam.network import NETWORKS
from pam.training import recipe as recipes
from pam.training.recipe import PropMaskRecipe


@pytest.mark.parametrize("name", recipes.names())
def test_shipped_recipes_load(name: str) -> None:
    recipe = recipes.load(name)
    assert recipe.network.multiple <= recipe.tasks.size / 2
    assert recipe.tasks.size % recipe.network.multiple == 0
    assert recipe.network.inference.get("size", 224) == recipe.tasks.size
    assert recipes.read(recipe.model_dump(mode="json"), "again") == recipe


@pytest.mark.parametrize(
    ("name", "parameters"), [("paper-propmask", 32_482_602), ("paper-box2mask", 20_619_082)]
)
def test_the_recipes_of_the_paper_are_of_its_networks(name: str, parameters: int) -> None:
    import torch

    recipe = recipes.load(name)
    with torch.device("meta"):
        network = NETWORKS[recipe.kind](recipe.network)  # type: ignore[arg-type]
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize("name", ["paper-propmask", "paper-box2mask"])
def test_the_recipes_of_the_paper_learn_from_its_internal_datasets(name: str) -> None:
    from benchmark import catalogue

    data = recipes.load(name).data.model_dump()
    internal = [i for i in catalogue.names() if catalogue.load(i).split == "internal"]
    assert sorted(data["datasets"]) == sorted(internal)
    assert data["split"] is not None


@pytest.mark.parametrize(
    ("name", "epochs", "batch", "rate"),
    [("paper-propmask", 4500, 160, 5e-4), ("paper-box2mask", 4100, 1024, 1e-3)],
)
def test_the_recipes_of_the_paper_have_its_schedule(
    name: str, epochs: int, batch: int, rate: float
) -> None:
    """Methods, Training configuration: epochs of 10,000, on four GPUs, a cosine of 100 epochs."""
    recipe = recipes.load(name)
    assert 4 * recipe.batch == batch
    assert recipe.steps == pytest.approx(epochs * 10_000 / batch, abs=1)
    found = recipe.optimiser
    assert found.period == pytest.approx(100 * 10_000 / batch, abs=1)
    assert (found.rate, found.last_rate, found.weight_decay) == (rate, 1e-5, 1e-4)
    assert (found.warm_up, recipe.loss.cross_entropy, recipe.loss.scales) == (0, 0, "target")


def test_the_recipes_of_the_paper_make_its_tasks() -> None:
    """Methods, Data pre-processing and Data augmentation."""
    tasks = recipes.load("paper-propmask").tasks.model_dump()
    assert (tasks["crop_ratio"], tasks["percentiles"]) == ((1, 2), (5, 95))
    assert (tasks["queries"], tasks["reach_mm"], tasks["size"]) == (4, 20, 224)
    tasks = recipes.load("paper-box2mask").tasks.model_dump()
    assert (tasks["box_ratio"], tasks["low"], tasks["high"]) == ((1, 1.25), (5, 20), (90, 95))
    assert (tasks["least_pixels"], tasks["percentiles"], tasks["size"]) == (101, (5, 95), 224)
    for name, grey in (("paper-propmask", 0), ("paper-box2mask", 0.2)):
        change = recipes.load(name).augmentation
        assert (change.flip, change.turn, change.degrees, change.fill) == (0.5, 0.5, 45, "black")
        assert (change.grey, change.apart) == (grey, True)


def test_no_shipped_recipe_sees_the_hold_out() -> None:
    from pam.training.generator import HOLDOUT_SEED
    from pam.training.recipe import Generated

    data = [recipes.load(name).data for name in recipes.names()]
    assert all(d.seed != HOLDOUT_SEED for d in data if isinstance(d, Generated))


def test_mistakes_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="small-propmask"):
        recipes.load("smal-propmask")
    with pytest.raises(UserError, match="Did you mean: propmask"):
        recipes.read({"kind": "propmsk"}, "r.yaml")
    content = recipes.load("tiny").model_dump(mode="json") | {"batch": 3}
    with pytest.raises(UserError, match="no multiple of batch 3"):
        recipes.read(content, "r.yaml")
    with pytest.raises(UserError, match="greater than or equal to 0"):
        recipes.read(content | {"batch": 4, "seed": -1}, "r.yaml")
    own = tmp_path / "own.yaml"
    own.write_text("kind: box2mask\nstep: 3\n", encoding="utf-8")
    with pytest.raises(UserError, match="Did you mean: steps"):
        recipes.load(str(own))


@pytest.mark.parametrize(
    ("part", "values", "told"),
    [
        ("data", {"scenes": {"patchwrk": 1}}, "Did you mean: patchwork"),
        ("data", {"scenes": {}}, "one of them above 0"),
        ("data", {"slices": [12, 8]}, "the lesser end comes first"),
        ("data", {"anisotropy": [0, 4]}, "greater than 0"),
        ("data", {"seed": 1_000_003}, "that of the hold-out"),
        ("data", {"seed": -1}, "greater than or equal to 0"),
        ("data", {"side": [8, 40]}, "greater than or equal to 16"),
        ("tasks", {"percentiles": [95, 5]}, "the lesser end comes first"),
        ("tasks", {"percentiles": [50, 50]}, "need first < second"),
        ("tasks", {"crop_ratio": [2, 1]}, "the lesser end comes first"),
        ("tasks", {"crop_ratio": [1, 11]}, "less than or equal to 10"),
        ("tasks", {"size": 2048}, "less than or equal to 1024"),
        ("tasks", {"size": 30}, "multiples of 4, from 8"),
        ("tasks", {"size": 64}, "tasks.size is 64, network.inference.size 32"),
        ("tasks", {"context": 1}, "tasks.context is 1.0, network.inference.context 0"),
        ("network", {"inputs": 2}, "network.inputs is 2, tasks.context 0"),
        ("tasks", {"resampling": "smooth"}, "tasks.resampling is smooth, network.inference.res"),
        ("augmentation", {"apart": True}, "one place of all images"),
    ],
)
def test_values_that_cannot_be_are_told(part: str, values: dict[str, Any], told: str) -> None:
    content = recipes.load("tiny").model_dump(mode="json")
    content[part] |= values
    with pytest.raises(UserError, match=told):
        recipes.read(content, "r.yaml")


def test_what_is_shown_in_training_is_shown_at_inference() -> None:
    content = recipes.load("tiny").model_dump(mode="json")
    content["network"]["inference"] = {"thickness": 9}
    content["tasks"]["resampling"] = "smooth"
    found = recipes.read(content, "r.yaml").network.inference
    assert found == {"thickness": 9, "size": 32, "resampling": "smooth", "context": 0}


@given(st.floats(0, 1), st.integers(1, 400))
def test_chained_steps_are_spread_evenly(share: float, steps: int) -> None:
    recipe = recipes.load("tiny").model_copy(update={"chained": share})
    assert isinstance(recipe, PropMaskRecipe)
    chained = [recipe.chains(step) for step in range(steps)]
    for stop in range(1, steps + 1):
        assert abs(sum(chained[:stop]) - share * stop) <= 1 + 1e-9


def test_a_chain_needs_two_slices() -> None:
    content = recipes.load("tiny").model_dump(mode="json")
    content["chained"], content["tasks"]["queries"] = 0.5, 1
    with pytest.raises(UserError, match="two slices"):
        recipes.read(content, "test")
