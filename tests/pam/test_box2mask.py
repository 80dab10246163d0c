"""From a box to its mask, by hand; `test_box2mask_golden` has the recorded runs."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from benchmark.errors import UserError
from benchmark.machine.precision import Precision
from benchmark.windows import CLINICAL
from pam.box2mask import _enlarged, _reaching, guiding_mask
from pam.box_presets import PAPER, PRESETS, RELEASED, RIGOROUS, Conversion, preset
from pam.preprocess import Scan, network_input
from pam.resize import resize_int16

SIZE = 32
BOX = (10, 26, 14, 38)


def small(settings: Conversion, **changes: Any) -> Conversion:
    return Conversion.read(settings.model_dump() | {"size": SIZE, **changes}, "test")


class Bright:
    """A network that takes what is above a level of its input; notes what it is shown."""

    def __init__(self, level: float = 0.0, scales: int = 2) -> None:
        self.level, self.scales, self.shown = level, scales, list[NDArray[np.float32]]()

    def __call__(self, image: Tensor) -> Sequence[Tensor]:
        assert image.shape[1:] == (1, SIZE, SIZE)
        self.shown += list(image[:, 0].numpy())
        fine = 2 * (image > self.level).float() - 1
        scales = (fine, torch.nn.functional.avg_pool2d(fine, 2))[: self.scales]
        return [torch.cat((-d / 2, d / 2), dim=1) for d in scales]


def scan(noise: float = 3.0) -> tuple[Scan, NDArray[np.bool_]]:
    """A bright ellipse that its box fits tightly, and its mask."""
    y, x = np.ogrid[:40, :50]
    y0, y1, x0, x1 = BOX
    centre, radii = ((y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2), ((y1 - y0) / 2, (x1 - x0) / 2)
    mask = ((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 <= 1
    grey = 100 * mask + np.random.default_rng(0).normal(0, noise, mask.shape)
    return Scan(grey[None].astype(np.float32), (1.0, 1.0, 1.0)), mask


def dsc(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


@pytest.mark.parametrize(("precision", "found"), [("float32", False), ("tf32", True)])
def test_tf32_is_used_where_asked_for_alone(precision: Precision, found: bool) -> None:
    seen = set()

    class Watched(Bright):
        def __call__(self, image: Tensor) -> Sequence[Tensor]:
            seen.add(torch.backends.cudnn.allow_tf32)
            return super().__call__(image)

    volume, _ = scan()
    guiding_mask(Watched(), volume, 0, BOX, small(RIGOROUS), precision=precision)
    assert seen == {found}


@pytest.mark.parametrize("name", PRESETS)
def test_the_object_in_a_box_is_found(name: str) -> None:
    volume, truth = scan()
    # The final window spans the object's own noise; the background lies below it.
    found = guiding_mask(Bright(-0.9), volume, 0, BOX, small(PRESETS[name]))
    assert dsc(found, truth) > 0.9


@pytest.mark.parametrize("box", [BOX, (9, 30, 11, 40), (3, 39, 2, 49)])
@pytest.mark.parametrize(
    "settings",
    [small(RIGOROUS, halved=True), small(PAPER, halved=True), small(RELEASED, estimate="vote")],
)
def test_a_vote_may_be_of_the_halved_crop(
    settings: Conversion, box: tuple[int, int, int, int]
) -> None:
    volume, truth = scan()
    found = guiding_mask(Bright(-0.9), volume, 0, box, settings)
    assert dsc(found, truth) > (0.8 if box == BOX else 0)


def test_a_vote_of_the_halved_crop_by_hand() -> None:
    """The final window is that of the pixels of the halved crop which most windows find."""
    volume, _ = scan()
    y0, y1, x0, x1 = BOX
    crop = torch.from_numpy(volume.volume[0, y0:y1, x0:x1].astype(np.int16))
    values = resize_int16(crop, SIZE // 2).numpy()
    network = Bright(scales=1)
    settings = small(RIGOROUS, halved=True)
    guiding_mask(network, volume, 0, BOX, settings)
    *candidates, final = network.shown
    votes = np.zeros(values.shape)
    for image in candidates:
        marked = Image.fromarray((2.0 * (image > 0) - 1).astype(np.float32))
        votes += np.asarray(marked.resize(values.shape, Image.Resampling.BILINEAR))
    low, high = np.percentile(values[votes > 0], settings.percentiles)
    grey = ((values.clip(low, high) - low) / (high - low) * 255).astype(np.uint8)
    expected = network_input(torch.from_numpy(grey)[None], SIZE)[0, 0]
    np.testing.assert_allclose(final, expected, atol=1.01 / 127.5)


@pytest.mark.parametrize("settings", [PAPER, RIGOROUS])
def test_windows_by_hand(settings: Conversion) -> None:
    """Each candidate, then the final pass, as grey levels at the crop's own size."""
    volume, _ = scan()
    square = (5, 37, 5, 37)
    crop = volume.volume[0, 5:37, 5:37]
    network = Bright(scales=1)
    found = guiding_mask(network, volume, 0, square, small(settings), batch=7)

    def levels(low: float, high: float) -> NDArray[Any]:
        least, width = np.float32(low), np.float32(high) - np.float32(low)
        spread: NDArray[Any] = (crop.clip(low, high) - least) / (width + np.float32(1e-8))
        return np.asarray(np.trunc(spread * 255))

    pairs = list(product(*(np.percentile(crop, p) for p in (settings.lower, settings.upper))))
    assert len(pairs) == {6: 96, 2: 8}[len(settings.upper)]
    estimate = np.mean([levels(*pair) > 127.5 for pair in pairs], axis=0) > 0.5
    final = levels(*np.percentile(crop[estimate], settings.percentiles))
    expected = [*(levels(*pair) for pair in pairs), final]
    shown = np.rint(np.stack(network.shown) * 127.5 + 127.5)
    np.testing.assert_allclose(shown, np.stack(expected), atol=1)
    np.testing.assert_array_equal(found[5:37, 5:37], shown[-1] > 127.5)


def test_ends_of_the_box() -> None:
    """Half-open: the last row and column belong to it, but not in the released code."""
    volume, _ = scan()
    for settings, short in ((RIGOROUS, 0), (PAPER, 0), (RELEASED, 1)):
        found = guiding_mask(None, volume, 0, BOX, small(settings, by="full-box"))
        expected = np.zeros(found.shape, np.bool_)
        expected[10 : 26 - short, 14 : 38 - short] = True
        np.testing.assert_array_equal(found, expected)


def test_a_box_may_be_the_whole_slice() -> None:
    volume, _ = scan()
    assert guiding_mask(None, volume, 0, (0, 40, 0, 50), small(RIGOROUS, by="full-box")).all()


def test_more_around_the_box_can_be_shown_and_the_mask_stays_inside() -> None:
    volume, _ = scan()
    network = Bright(-2)  # takes everything
    found = guiding_mask(network, volume, 0, BOX, small(RIGOROUS, box_ratio=1.5))
    expected = np.zeros(found.shape, np.bool_)
    expected[10:26, 14:38] = True
    np.testing.assert_array_equal(found, expected)
    wide = Bright()
    guiding_mask(wide, volume, 0, (6, 30, 8, 44), small(RIGOROUS))
    np.testing.assert_array_equal(np.stack(network.shown)[:8], np.stack(wide.shown)[:8])
    assert _enlarged((0, 4, 4, 12), 1.5, (10, 13)) == (0, 5, 2, 13)


@pytest.mark.parametrize("settings", [PAPER, RELEASED, RIGOROUS])
def test_where_nothing_is_found_the_mask_is_the_box(settings: Conversion) -> None:
    volume, _ = scan()
    found = guiding_mask(Bright(2), volume, 0, BOX, small(settings))
    box = guiding_mask(None, volume, 0, BOX, small(settings, by="full-box"))
    np.testing.assert_array_equal(found, box)


@pytest.mark.parametrize("settings", [PAPER, RELEASED, RIGOROUS])
@pytest.mark.parametrize("name", CLINICAL)
def test_a_fixed_window_takes_one_pass(settings: Conversion, name: str) -> None:
    volume, _ = scan()
    network = Bright()
    square = (5, 37, 5, 37)
    guiding_mask(network, volume, 0, square, small(settings, normalisation=name, stretch="window"))
    low, high = CLINICAL[name]
    (shown,) = network.shown
    if settings is not RELEASED:
        expected = (volume.volume[0, 5:37, 5:37].clip(low, high) - low) / (high - low)
        np.testing.assert_allclose((shown + 1) / 2, expected, atol=1 / 255)


def test_an_adaptive_mask_is_otsus() -> None:
    volume, truth = scan(noise=1.0)
    settings = small(RIGOROUS, by="adaptive")
    inverted = Scan(-volume.volume, volume.spacing)
    for image in (volume, inverted):
        np.testing.assert_array_equal(guiding_mask(None, image, 0, BOX, settings), truth)


@pytest.mark.parametrize("by", ["box2mask", "full-box", "adaptive"])
@pytest.mark.parametrize("settings", [PAPER, RIGOROUS])
def test_a_box_of_one_intensity_is_its_own_mask(settings: Conversion, by: str) -> None:
    flat = Scan(np.full((1, 40, 50), 7.0), (1, 1, 1))
    found = guiding_mask(Bright(), flat, 0, BOX, small(settings, by=by))
    assert found.sum() == 16 * 24


@pytest.mark.parametrize("settings", [PAPER, RIGOROUS])
def test_a_box_of_one_pixel(settings: Conversion) -> None:
    volume, _ = scan()
    found = guiding_mask(Bright(), volume, 0, (3, 4, 5, 6), small(settings))
    assert np.argwhere(found).tolist() == [[3, 5]]
    thin = guiding_mask(Bright(-2), volume, 0, (3, 4, 5, 25), small(settings))
    assert thin[3, 5:25].all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch sees")
@pytest.mark.parametrize("box", [(3, 4, 5, 25), (3, 23, 5, 6), (3, 4, 5, 6), BOX])
def test_a_gpu_gives_the_masks_of_the_cpu(box: tuple[int, int, int, int]) -> None:
    """Of the size that the paper's network is shown, also where the box is one pixel wide."""

    def above(image: Tensor) -> Sequence[Tensor]:
        ahead = (image > 0).float() - 0.5
        return [torch.cat((-ahead, ahead), dim=1)]

    volume, _ = scan()
    on_cpu, on_gpu = (guiding_mask(above, volume, 0, box, device=d) for d in ("cpu", "cuda"))
    assert on_cpu.any()
    np.testing.assert_array_equal(on_gpu, on_cpu)


BAD: list[tuple[int, tuple[int, int, int, int], str]] = [
    (1, BOX, "slice 1 of a volume with slices 0 to 0"),
    (-1, BOX, "slice -1"),
    (0, (10, 26, 14, 51), "leaves a slice of 40 x 50"),
    (0, (-1, 26, 14, 38), "leaves a slice"),
    (0, (10, 10, 14, 38), "has no area"),
    (0, (10, 26, 38, 14), "has no area"),
]


@pytest.mark.parametrize("settings", [PAPER, RELEASED, RIGOROUS])
@pytest.mark.parametrize(("index", "box", "message"), BAD)
def test_a_bad_box(
    settings: Conversion, index: int, box: tuple[int, int, int, int], message: str
) -> None:
    volume, _ = scan()
    with pytest.raises(UserError, match=message):
        guiding_mask(Bright(), volume, index, box, small(settings))


def test_a_box_of_unsigned_integers() -> None:
    volume, _ = scan()
    settings, box = small(RIGOROUS, box_ratio=4.0), np.array(BOX, np.uint8)
    found = guiding_mask(Bright(), volume, 0, tuple(box), settings)
    expected = guiding_mask(Bright(), volume, 0, BOX, settings)
    np.testing.assert_array_equal(found, expected)


def test_a_pool_needs_the_scale_of_half_the_size() -> None:
    volume, _ = scan()
    with pytest.raises(UserError, match="weights of three stages or more"):
        guiding_mask(Bright(scales=1), volume, 0, BOX, small(RELEASED))
    with pytest.raises(ValueError, match="batch 0"):
        guiding_mask(Bright(), volume, 0, BOX, small(RIGOROUS), batch=0)


def test_the_released_code_has_nothing_left_of_one_row() -> None:
    volume, _ = scan()
    with pytest.raises(UserError, match="one pixel high or wide"):
        guiding_mask(Bright(), volume, 0, (3, 4, 5, 25), small(RELEASED))
    with pytest.raises(UserError, match="needs its network"):
        guiding_mask(None, volume, 0, BOX, small(RIGOROUS))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lower": (5, 92)}, "reach the upper"),
        ({"percentiles": (95, 5)}, "first < second"),
        ({"estimate": "pool"}, "needs halved"),
        ({"box_ration": 2}, "box_ratio"),
        ({"lower": ()}, "lower"),
    ],
)
def test_settings_that_make_no_sense(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        small(RIGOROUS, **changes)


def test_presets_by_name() -> None:
    assert preset("released") == preset("tutorial") == RELEASED
    with pytest.raises(UserError, match="rigorous"):
        preset("rigourous")


@pytest.mark.parametrize("resampling", ["corners", "smooth"])
def test_the_vote_of_the_windows_may_be_the_mask(resampling: str) -> None:
    volume, _ = scan(noise=30.0)
    y0, y1, x0, x1 = BOX
    crop = volume.volume[0, y0:y1, x0:x1]
    network = Bright(0.1, scales=1)
    settings = small(RIGOROUS, final="vote", size=SIZE, resampling=resampling)
    found = guiding_mask(network, volume, 0, BOX, settings)
    windows = list(product(settings.lower, settings.upper))
    assert len(network.shown) == len(windows)  # and no pass after them
    votes = np.zeros(crop.shape)
    for image in network.shown:
        shown = (2.0 * (image > 0.1) - 1).astype(np.float32)
        if resampling == "smooth":
            size = crop.shape[1], crop.shape[0]
            votes += np.asarray(Image.fromarray(shown).resize(size, Image.Resampling.BILINEAR))
            continue
        votes += torch.nn.functional.interpolate(
            torch.from_numpy(shown)[None, None], crop.shape, mode="bilinear", align_corners=True
        )[0, 0].numpy()
    np.testing.assert_array_equal(found[y0:y1, x0:x1], votes > 0)


class Cone:
    """A network whose foreground leads by ``height`` in the middle, and less by 4 to the sides."""

    def __init__(self, height: float) -> None:
        self.height = height

    def __call__(self, image: Tensor) -> Sequence[Tensor]:
        axis = torch.linspace(-1, 1, SIZE)
        lead = (self.height - 4 * torch.hypot(axis[:, None], axis)).expand(len(image), SIZE, SIZE)
        return [torch.stack((-lead / 2, lead / 2), dim=1)]


@pytest.mark.parametrize(("height", "reaches"), [(1.0, False), (2.5, False), (4.2, True)])
def test_a_tight_mask_reaches_the_sides_of_its_box(height: float, reaches: bool) -> None:
    volume, _ = scan()

    def spans(tight: bool) -> list[int]:
        found = guiding_mask(Cone(height), volume, 0, BOX, small(RIGOROUS, tight=tight))
        return [int(found.any(axis=a).sum()) for a in (1, 0)]

    sides = [BOX[1] - BOX[0], BOX[3] - BOX[2]]
    assert (spans(False) == sides) == reaches
    if reaches:  # nothing to mend
        assert spans(True) == spans(False)
    else:
        assert all(a > b for a, b in zip(spans(True), spans(False), strict=True))


@pytest.mark.parametrize(
    ("likely", "least"),
    [
        ([0.7] * 18 + [0.47, 0.3], 0.45),  # 18, then 19 of the 20 columns that are reached at all
        ([0.7] * 19 + [0.3], 0.5),  # 95 % of them
        ([0.52] * 18 + [0.1, 0.3], 0.27),
        ([0.2] * 20, 0.18),
    ],
)
def test_the_threshold_is_the_nearest_to_one_half_that_spans_the_box(
    likely: list[float], least: float
) -> None:
    image = torch.tensor(likely).expand(5, 20)
    np.testing.assert_array_equal(_reaching(image), image > least)


def test_the_final_window_of_no_estimate_and_of_one_that_has_a_single_value() -> None:
    square = (5, 37, 5, 37)
    volume, _ = scan()
    crop = volume.volume[0, 5:37, 5:37]
    network = Bright(2, scales=1)  # finds nothing
    guiding_mask(network, volume, 0, square, small(RIGOROUS))
    low, high = np.percentile(crop, (5, 95))
    expected = (crop.clip(low, high) - low) / (high - low)
    np.testing.assert_allclose((network.shown[-1] + 1) / 2, expected, atol=1 / 255)

    few = np.zeros((1, 40, 50), np.float32)
    few[0, 20, 20:23] = 100  # so few that all percentiles of the crop are 0
    network = Bright(scales=1)
    found = guiding_mask(network, Scan(few, (1, 1, 1)), 0, square, small(RIGOROUS))
    assert [float(image.max()) for image in network.shown] == pytest.approx([1, 1])
    np.testing.assert_array_equal(found, few[0] > 0)
