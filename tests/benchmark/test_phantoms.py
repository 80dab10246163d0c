"""Phantoms against closed-form results, the catalogue, SimpleITK and lifelines."""

import subprocess
import sys
from collections.abc import Callable
from math import gamma
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from lifelines.statistics import logrank_test
from lifelines.utils import concordance_index
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import convex_hull_image

from benchmark import catalogue, phantoms
from benchmark.errors import UserError
from benchmark.phantoms import cohort, physics, tumours
from benchmark.phantoms.canvas import SMALLEST, Canvas, tidy
from benchmark.phantoms.paths import tree, tube
from benchmark.phantoms.scan import Scan
from benchmark.phantoms.shapes import Shape, ball, capsule, ellipsoid, merged, waves

SCENES = [f"P{number:02d}" for number in range(1, 11)]
COHORTS = ["P11", "P12"]
SPACING = {
    "P01": (3, 3, 3),
    "P02": (5, 3, 3),
    "P03": (5, 3.3, 3.3),
    "P04": (2.5, 2.5, 2.5),
    "P05": (2.5, 2.5, 2.5),
    "P06": (2, 2, 2),
    "P07": (5, 2.4, 2.4),
    "P08": (5, 1.8, 1.8),
    "P09": (4, 4, 4),
    "P10": (0.005, 0.005, 0.005),
}
ORIENTATION = {"P02": "RAS", "P03": "LPI", "P05": "LIA", "P06": "RAS", "P07": "LAS"}

_made: dict[str, Scan] = {}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def source(dataset: str) -> Any:
    return catalogue.load(dataset).source


def fresh(dataset: str, number: int = 1, seed: int | None = None) -> Scan:
    own = source(dataset)
    _, patient = phantoms.make(own.recipe, number, own.seed if seed is None else seed)
    return patient.scans[""]


def first(dataset: str) -> Scan:
    if dataset not in _made:
        _made[dataset] = fresh(dataset)
    return _made[dataset]


def pieces(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    found, count = ndimage.label(mask, np.ones((3, 3, 3)))
    return [found == k for k in range(1, count + 1)]


# shapes


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (ellipsoid((1, -2, 3), (8, 11, 15)), 4 / 3 * np.pi * 8 * 11 * 15),
        (ellipsoid((1, -2, 3), (8, 11, 15), tumours.rotation(rng())), 4 / 3 * np.pi * 8 * 11 * 15),
        (ellipsoid((0, 0, 0), (7, 8, 9), power=4), 8 * 7 * 8 * 9 * gamma(1.25) ** 3 / gamma(1.75)),
        (ball((0, 0, 0), 12) - ball((0, 0, 0), 8), 4 / 3 * np.pi * (12**3 - 8**3)),
        (ball((0, 0, 0), 10).grown(2), 4 / 3 * np.pi * 12**3),
        (ball((0, 0, 0), 10) & ball((0, 0, 10), 10), 5 / 12 * np.pi * 10**3),
        (capsule((0, 0, 0), (20, 0, 0), 5, 5), np.pi * 25 * 20 + 4 / 3 * np.pi * 125),
        (merged([ball((0, 0, 0), 6), ball((0, 0, 30), 6)]), 2 * 4 / 3 * np.pi * 6**3),
        (ball((0, 0, 0), 9).stretched(np.array((2, 1, 0.5))), 4 / 3 * np.pi * 9**3),
    ],
    ids=["ellipsoid", "turned", "boxy", "shell", "grown", "lens", "capsule", "merged", "stretched"],
)
def test_a_shape_has_the_volume_of_its_closed_form(shape: Shape, expected: float) -> None:
    assert shape.volume(step=0.5) == pytest.approx(expected, rel=0.015)


def test_a_tube_along_a_circle_is_a_torus() -> None:
    angle = np.linspace(0, 2 * np.pi, 65)
    ring = tube(np.stack([0 * angle, 20 * np.cos(angle), 20 * np.sin(angle)], axis=1), 5)
    volume = merged(ring, soft=0.01).volume(step=0.5)
    assert volume == pytest.approx(2 * np.pi**2 * 20 * 5**2, rel=0.015)


def test_waves_have_unit_variance() -> None:
    points = np.meshgrid(*[np.linspace(0, 500, 60, dtype=np.float32)] * 3, indexing="ij")
    assert waves(rng(), 50, 16)(*points).std() == pytest.approx(1, abs=0.05)


def test_a_tree_doubles_its_branches_and_stays_connected() -> None:
    branches = tree(rng(), (0, 0, 0), (1, 0, 0), 6, 30, levels=4)
    assert len(branches) == 3 * (1 + 2 + 4 + 8)
    canvas = Canvas(rng(), (140, 110, 110), (1, 1, 1), centre=(50, 0, 0))
    canvas.paint(branches, 1, label=1)
    assert len(pieces(canvas.labels > 0)) == 1


# canvas


@pytest.mark.parametrize(("spacing", "fine"), [((1, 1, 1), 1), ((2, 2, 2), 1), ((6, 2, 2), 3)])
def test_partial_volume_keeps_the_amount_of_tissue(
    spacing: tuple[float, float, float], fine: int
) -> None:
    shape = [int(48 / s) for s in spacing]
    canvas = Canvas(rng(), shape, spacing, fine=fine)
    canvas.paint(ellipsoid((1.3, 0.4, -0.7), (16, 13, 14)), 1, label=1)
    values, labels = canvas.render()
    expected = 4 / 3 * np.pi * 16 * 13 * 14
    assert values.shape == (1, *shape)
    assert values.sum() * np.prod(spacing) == pytest.approx(expected, rel=0.02)
    assert labels.sum() * np.prod(spacing) == pytest.approx(expected, rel=0.05)
    assert ((values > 0.05) & (values < 0.95)).any()


def test_what_is_painted_later_owns_the_voxels() -> None:
    canvas = Canvas(rng(), (20, 20, 20), (1, 1, 1))
    canvas.paint(ball((0, 0, 0), 8), 1, label=1)
    canvas.paint(ball((0, 0, 0), 5), 2, label=None)
    canvas.paint(ball((0, 0, 0), 3), 3, label=0)
    assert canvas.values[0, 10, 10, 10] == 3
    assert canvas.labels[10, 10, 10] == 0
    assert canvas.labels[10, 10, 14] == 1


def test_slivers_are_removed_and_objects_kept() -> None:
    labels = np.zeros((12, 12, 12), np.uint8)
    labels[:4, :4, :4] = 1
    labels[8:10, 8:10, 8:10] = 1  # 8 voxels, fewer than the smallest object
    clean = tidy(labels)
    assert clean.sum() == 64 > SMALLEST > (labels - clean).sum() == 8


# physics


def test_ct_noise_has_the_asked_size_and_grows_to_the_centre() -> None:
    image = physics.ct(rng(), np.zeros((40, 64, 64), np.float32), (3, 3, 3), noise=20)
    assert image.dtype == np.int16
    assert image.std() == pytest.approx(20, rel=0.15)
    assert image[:, 28:36, 28:36].std() > 1.2 * image[:, :8, :8].std()


def test_mr_background_follows_the_rayleigh_distribution() -> None:
    image = physics.mr(rng(), np.zeros((20, 40, 40), np.float32), (2, 2, 2), noise=0.04, bias=0.2)
    assert image.mean() == pytest.approx(500 * 0.04 * np.sqrt(np.pi / 2), rel=0.02)
    assert image.std() == pytest.approx(500 * 0.04 * np.sqrt(2 - np.pi / 2), rel=0.02)


def test_pet_point_source_has_the_asked_width() -> None:
    point = np.zeros((41, 41, 41), np.float32)
    point[20, 20, 20] = 1e5
    image = physics.pet(rng(), point, (1, 1, 1), noise=0, fwhm=8)
    profile = image[20, 20]
    assert np.count_nonzero(profile >= profile.max() / 2) == pytest.approx(8, abs=1)
    assert image.sum() == pytest.approx(1e5, rel=0.01)


def test_srx_overshoots_at_edges() -> None:
    step = np.zeros((10, 10, 40), np.float32)
    step[:, :, 20:] = 1
    profile = physics.srx(rng(), step, noise=0, rings=0)[5, 5].astype(int)
    assert profile.max() > profile[-5] + 100
    assert profile.min() < profile[5] - 100


# recipes


def test_every_recipe_belongs_to_one_dataset_of_the_catalogue() -> None:
    used = [source(name).recipe for name in SCENES + COHORTS]
    assert sorted(used) == sorted(phantoms.RECIPES)


def test_an_unknown_recipe_is_refused_with_a_suggestion() -> None:
    with pytest.raises(UserError, match="Did you mean: ct-organs"):
        phantoms.make("ct-organ", 1, 0)


def test_importing_the_package_is_light() -> None:
    code = "import sys, benchmark.phantoms; print({'numpy', 'scipy', 'SimpleITK'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("dataset", SCENES)
def test_a_seed_gives_the_same_scan_and_another_gives_another(dataset: str) -> None:
    once, again = first(dataset), fresh(dataset)
    np.testing.assert_array_equal(once.labels, again.labels)
    for key, image in once.images.items():
        np.testing.assert_array_equal(image, again.images[key])
    other = fresh(dataset, seed=source(dataset).seed + 1)
    assert not np.array_equal(once.labels, other.labels)


@pytest.mark.parametrize("dataset", SCENES)
def test_labels_are_those_of_the_catalogue_and_large_enough(dataset: str) -> None:
    entry, scan = catalogue.load(dataset), first(dataset)
    assert set(np.unique(scan.labels)) == {0, *entry.labels}
    axis = 1 if entry.view == "coronal" else 0
    fewest = 3 if scan.spacing[0] == 5 else 5
    objects = 0
    for value, structure in entry.labels.items():
        found = pieces(scan.labels == value)
        if not structure.instances:
            found = [scan.labels == value]
        largest = max(p.sum() for p in found)
        for piece in found:
            if piece.sum() >= 0.1 * largest:
                objects += 1
                assert piece.sum() >= 30
                others = tuple(a for a in range(3) if a != axis)
                assert piece.any(axis=others).sum() >= fewest
    assert 2 <= objects <= 9


@pytest.mark.parametrize("dataset", SCENES)
def test_files_hold_what_was_made_with_one_geometry(dataset: str, tmp_path: Path) -> None:
    entry, scan = catalogue.load(dataset), first(dataset)
    assert scan.save(tmp_path, "one") == len(entry.layout[0].image) + 1
    assert entry.layout[0].label
    label: Any = sitk.ReadImage(str(tmp_path / entry.layout[0].label.format(scan="one")))
    assert label.GetSpacing()[::-1] == pytest.approx(
        np.array(SPACING[dataset])[_axes(label.GetDirection())], rel=1e-6
    )
    coded: Any = sitk.DICOMOrientImageFilter
    code = coded.GetOrientationFromDirectionCosines(label.GetDirection())
    assert code == ORIENTATION.get(dataset, "LPS")
    for pattern, expected in zip(entry.layout[0].image, scan.images.values(), strict=True):
        image: Any = sitk.ReadImage(str(tmp_path / pattern.format(scan="one")))
        assert image.GetSize() == label.GetSize()
        assert image.GetOrigin() == label.GetOrigin()
        assert image.GetDirection() == label.GetDirection()
        back: Any = sitk.DICOMOrient(image, "LPS")
        np.testing.assert_array_equal(sitk.GetArrayFromImage(back), expected)
        np.testing.assert_allclose(back.GetOrigin(), scan.origin, rtol=1e-5)
        np.testing.assert_allclose(back.GetDirection(), scan.direction.ravel(), atol=1e-5)


def _axes(direction: tuple[float, ...]) -> NDArray[np.intp]:
    """Which patient axis (z, y, x) each axis (z, y, x) of a file runs along."""
    along = np.abs(np.reshape(direction, (3, 3))).argmax(axis=0)
    return np.asarray(2 - along[::-1])


def test_a_scan_does_not_depend_on_their_number_and_files_repeat(tmp_path: Path) -> None:
    assert phantoms.write("mr-heart", 1, 3, tmp_path / "one") == 2
    assert phantoms.write("mr-heart", 2, 3, tmp_path / "two") == 4
    for folder in ("images", "labels"):
        one, two = (tmp_path / n / folder / "p08_01.nii.gz" for n in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


# contrast: what makes each dataset easy or hard


def contrasts(dataset: str, label: int, around: int, channel: int = 0) -> list[float]:
    """Mean of each object less that of what is ``around`` it, in sds of the latter."""
    scan = first(dataset)
    image = list(scan.images.values())[channel].astype(float)
    near: Callable[..., Any] = ndimage.binary_dilation
    values = []
    for piece in pieces(scan.labels == label):
        shell = near(piece, iterations=3) & ~near(piece, iterations=1)
        shell &= scan.labels == around
        values.append((image[piece].mean() - image[shell].mean()) / image[shell].std())
    return values


def test_liver_tumours_are_dark_and_faint_ones_are_lost_in_the_noise() -> None:
    assert max(contrasts("P02", 2, around=1)) < -1.2
    assert all(-1 < c < 0 for c in contrasts("P04", 3, around=0))
    scan = first("P04")
    noise = scan.images["images"][scan.labels == 3].std()
    gland = scan.images["images"][scan.labels == 1].mean()
    assert 0 < gland - scan.images["images"][scan.labels == 2].mean() < noise


def test_pet_lesions_are_hot_and_hardly_seen_on_ct() -> None:
    scan = first("P09")
    assert min(contrasts("P09", 1, around=0)) > 2
    assert min(contrasts("P09", 2, around=0)) > 2
    for node in pieces(scan.labels == 2):  # on CT as dense as blood and muscle
        assert 20 < float(scan.images["ct"][node].mean()) < 70


def test_rims_are_bright_rings_about_dark_cores() -> None:
    scan = first("P06")
    image, rim, core = scan.images["images"], scan.labels == 1, scan.labels == 2
    assert image[rim].mean() > 2 * image[core].mean()
    enclosed = [ndimage.binary_fill_holes(plane) for plane in rim]
    share = (np.array(enclosed) & core).sum() / core.sum()
    assert 0.4 < share < 1  # not all: one ring of each scan is open


def solidity(shape: Shape) -> float:
    canvas = Canvas(rng(), (50, 50, 50), (1, 1, 1))
    canvas.paint(shape, 1, label=1)
    solid = canvas.labels > 0
    hull = convex_hull_image(solid)
    return float(solid.sum() / hull.sum())


@pytest.mark.parametrize("seed", range(4))
def test_lobed_and_cup_shaped_tumours_are_concave(seed: int) -> None:
    centre = np.zeros(3)
    assert solidity(tumours.rounded(rng(seed), centre, 18)) > 0.85
    assert solidity(tumours.lobed(rng(seed), centre, 18)) < 0.85
    assert solidity(tumours.concave(rng(seed), centre, 18)) < 0.8


# cohorts


def courses(effect: float, seed: int) -> pd.DataFrame:
    drawn = [cohort.course(phantoms.generator(seed, f"pt{k:02d}"), effect) for k in range(1, 41)]
    return pd.DataFrame(
        {
            "volume": [c.ratio for c in drawn],
            "area": [float(c.factors[1] * c.factors[2]) for c in drawn],
            "months": [c.months for c in drawn],
            "event": [c.event for c in drawn],
        }
    )


def logrank(table: pd.DataFrame, by: str) -> float:
    high = table[by] > table[by].median()
    a, b = table[high], table[~high]
    return float(logrank_test(a["months"], b["months"], a["event"], b["event"]).p_value)


def test_the_hazard_follows_volume_better_than_area_whatever_the_seed() -> None:
    tables = [courses(cohort.HAZARD_PER_SD, seed) for seed in range(30)]
    assert np.mean([logrank(t, "volume") < 0.01 for t in tables]) > 0.75
    index = {
        by: np.mean([concordance_index(t["months"], -t[by], t["event"]) for t in tables])
        for by in ("volume", "area")
    }
    assert index["volume"] > 0.7
    assert index["area"] < index["volume"] - 0.08
    assert 0.2 < np.mean([1 - t["event"].mean() for t in tables]) < 0.35


def test_the_hazard_that_follows_nothing_is_significant_as_often_as_chance() -> None:
    p_values = [logrank(courses(0.0, seed), "volume") for seed in range(60)]
    assert np.mean(np.array(p_values) < 0.05) < 0.15
    assert 0.35 < np.mean(p_values) < 0.65


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folders = {}
    for name in COHORTS:
        folders[name] = tmp_path_factory.mktemp(name)
        own = source(name)
        assert phantoms.write(own.recipe, own.scans, own.seed, folders[name]) == 40 * 4 + 1
    return folders


@pytest.mark.parametrize("dataset", COHORTS)
def test_the_shipped_cohorts_show_what_they_are_for(cohorts: dict[str, Path], dataset: str) -> None:
    table = pd.read_csv(cohorts[dataset] / "cohort.csv")
    assert list(table.columns) == [
        "patient",
        "pre_scan",
        "post_scan",
        "time_months",
        "event",
        "true_volume_pre_mm3",
        "true_volume_post_mm3",
    ]
    table["volume"] = table["true_volume_post_mm3"] / table["true_volume_pre_mm3"]
    table = table.rename(columns={"time_months": "months"})
    p = logrank(table, "volume")
    assert (p < 0.01) if dataset == "P11" else (p > 0.2)
    assert 0.2 <= 1 - table["event"].mean() <= 0.4


@pytest.mark.parametrize("dataset", COHORTS)
def test_the_labels_of_a_cohort_have_the_true_volumes(
    cohorts: dict[str, Path], dataset: str
) -> None:
    table = pd.read_csv(cohorts[dataset] / "cohort.csv")
    for time in ("pre", "post"):
        for name, volume in zip(
            table[f"{time}_scan"], table[f"true_volume_{time}_mm3"], strict=True
        ):
            label: Any = sitk.ReadImage(str(cohorts[dataset] / "labels" / f"{name}.nii.gz"))
            (mask,) = pieces(sitk.GetArrayFromImage(label) == 1)
            assert mask.sum() * np.prod(label.GetSpacing()) == pytest.approx(volume, rel=0.08)
            assert mask.any(axis=(1, 2)).sum() >= 3
            assert not mask[[0, -1]].any()
            assert not mask[:, [0, -1]].any()
            assert not mask[:, :, [0, -1]].any()
