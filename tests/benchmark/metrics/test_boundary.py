"""Boundary-voxel metrics, each against the library that defines it."""

import warnings
from math import isnan
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from medpy.metric import binary as medpy
from monai.metrics import hausdorff_distance as monai_hd
from monai.metrics import surface_dice as monai_nsd
from monai.metrics import surface_distance as monai_asd
from numpy.typing import NDArray

from benchmark.metrics.boundary import CONVENTIONS, METRICS_OF_CONVENTION, boundary_metrics

Mask = NDArray[np.bool_]
Spacing = tuple[float, float, float]
TOLERANCE = 1.3

shapes = st.tuples(st.integers(1, 6), st.integers(2, 7), st.integers(2, 7))
pairs = shapes.flatmap(lambda s: st.tuples(arrays(np.bool_, s), arrays(np.bool_, s))).filter(
    lambda pair: pair[0].any() and pair[1].any()
)
steps = st.sampled_from([0.7, 1.0, 1.5, 4.0])
spacings = st.tuples(steps, steps, steps)
many = settings(deadline=None, max_examples=60)


def blobs() -> tuple[Mask, Mask]:
    z, y, x = np.ogrid[:20, :24, :22]
    one = (z - 9) ** 2 + (y - 10) ** 2 + (x - 9) ** 2 < 40
    other = ((z - 10) / 1.3) ** 2 + (y - 12) ** 2 + (x - 10) ** 2 < 30
    other[-1, -1, -1] = True
    return np.asarray(one), np.asarray(other)


def of_monai(reference: Mask, prediction: Mask, spacing: Spacing) -> dict[str, float]:
    y, y_pred = (
        torch.from_numpy(m.astype(np.float32))[None, None] for m in (reference, prediction)
    )
    every: dict[str, Any] = {"include_background": True, "spacing": spacing}
    hd = monai_hd.compute_hausdorff_distance
    asd = monai_asd.compute_average_surface_distance
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of MONAI about itself
        found = {
            "nsd": monai_nsd.compute_surface_dice(y_pred, y, [TOLERANCE], **every),
            "hd95": hd(y_pred, y, percentile=95, **every),
            "hd": hd(y_pred, y, **every),
            "asd": asd(y_pred, y, **every),
            "assd": asd(y_pred, y, symmetric=True, **every),
        }
    return {name: float(value) for name, value in found.items()}


def of_medpy(reference: Mask, prediction: Mask, spacing: Spacing) -> dict[str, float]:
    functions = {"hd95": medpy.hd95, "hd": medpy.hd, "asd": medpy.asd, "assd": medpy.assd}
    return {
        name: float(function(prediction, reference, voxelspacing=spacing))
        for name, function in functions.items()
    }


def of_simpleitk(reference: Mask, prediction: Mask, spacing: Spacing) -> dict[str, float]:
    """Notebook 34 of InsightSoftwareConsortium/SimpleITK-Notebooks."""
    images = []
    for mask in (reference, prediction):
        image = sitk.GetImageFromArray(mask.astype(np.uint8))
        image.SetSpacing(spacing[::-1])
        images.append(image)
    maps, contours = [], []
    for image in images:
        distance = sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True)
        maps.append(sitk.GetArrayFromImage(sitk.Abs(distance)))
        contours.append(sitk.GetArrayFromImage(sitk.LabelContour(image)) > 0)
    pooled = np.concatenate([maps[0][contours[1]], maps[1][contours[0]]])
    hausdorff = sitk.HausdorffDistanceImageFilter()
    hausdorff.Execute(*images)
    return {
        "hd95": float(np.percentile(pooled, 95)),
        "hd": hausdorff.GetHausdorffDistance(),
        "assd": float(pooled.mean()),
    }


LIBRARIES = {"monai": of_monai, "medpy": of_medpy, "simpleitk": of_simpleitk}


def assert_as_the_library(name: Any, reference: Mask, prediction: Mask, spacing: Spacing) -> None:
    got = boundary_metrics(reference, prediction, spacing, TOLERANCE, convention=name)
    expected = LIBRARIES[name](reference, prediction, spacing)
    assert tuple(got) == METRICS_OF_CONVENTION[name]
    # MONAI and SimpleITK compute in float32
    assert got == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_blobs(name: str) -> None:
    one, other = blobs()
    for spacing in ((1.0, 1.0, 1.0), (3.0, 0.8, 0.7)):
        assert_as_the_library(name, one, other, spacing)
        assert_as_the_library(name, other, one, spacing)


@pytest.mark.parametrize("name", ["monai", "medpy"])
@many
@given(pair=pairs, spacing=spacings)
def test_random_masks(name: str, pair: tuple[Mask, Mask], spacing: Spacing) -> None:
    assert_as_the_library(name, *pair, spacing)


@many
@given(pair=pairs, spacing=spacings)
def test_random_masks_of_simpleitk(pair: tuple[Mask, Mask], spacing: Spacing) -> None:
    """Inside of a scan: at its border the library's contours are open, and one may be gone."""
    inside = [np.pad(mask, 1) for mask in pair]
    assert_as_the_library("simpleitk", inside[0], inside[1], spacing)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_empty_masks(name: Any) -> None:
    one, _ = blobs()
    nothing = np.zeros_like(one)
    for pair in ((one, nothing), (nothing, one), (nothing, nothing)):
        got = boundary_metrics(*pair, (1.0, 1.0, 1.0), 1.0, convention=name)
        defined = {key: value for key, value in got.items() if not isnan(value)}
        assert defined == ({"nsd": 0.0} if "nsd" in got and pair[0] is not pair[1] else {})


def test_unknown_convention() -> None:
    one, other = blobs()
    with pytest.raises(ValueError, match="Did you mean: monai"):
        boundary_metrics(one, other, (1.0, 1.0, 1.0), 1.0, convention="Monay")  # type: ignore[arg-type]
