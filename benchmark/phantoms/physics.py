"""Image formation: blur, noise, shading and the value range of each modality.

All functions take the values of one channel (z, y, x), averaged over the slice thickness.
"""

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from benchmark.phantoms.canvas import smooth_noise
from benchmark.phantoms.shapes import Field


def ct(
    rng: Generator,
    hu: Field,
    spacing: Sequence[float],
    noise: float,
) -> NDArray[np.int16]:
    """Simulate computed tomography, in HU; ``noise`` is the standard deviation in HU.

    The in-plane point spread has a sigma of 1 mm. The noise has the grain of a reconstruction
    kernel and increases toward the centre, where the beam is attenuated most.
    """
    hu = _blur(hu, spacing, (0, 1.0, 1.0))
    grain = smooth_noise(rng, hu.shape, (0.3, 0.65, 0.65))
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in hu.shape[1:])
    dose = 0.75 + 0.35 * np.exp(-(y[:, None] ** 2 + x**2) / 0.4)
    return np.asarray(np.clip(np.rint(hu + noise * dose * grain), -1024, 3071), np.int16)


def mr(
    rng: Generator,
    signal: Field,
    spacing: Sequence[float],
    noise: float,
    bias: float,
    blur: float = 0.6,
) -> NDArray[np.float32]:
    """Simulate magnetic resonance: bias field, blur and Rician noise.

    A signal of 1 becomes about 500. ``noise`` is the standard deviation in each quadrature channel,
    relative to a signal of 1; ``bias`` that of the logarithm of the bias field; ``blur`` is the
    sigma of the blur in mm. Noise model: doi 10.1002/mrm.1910340618.
    """
    field = [np.linspace(-1, 1, n, dtype=np.float32) for n in signal.shape]
    z, y, x = np.meshgrid(*field, indexing="ij", sparse=True)
    a, b, c, d, e, f = rng.normal(size=6).tolist()
    shading = a * z + b * y + c * x + d * y * x + e * (y * y - x * x) + f * (z * z - y * y)
    shading = shading / shading.std()
    signal = _blur(signal * np.exp(bias * shading), spacing, (blur, blur, blur))
    real, imaginary = (noise * rng.standard_normal(signal.shape, np.float32) for _ in range(2))
    return np.asarray(500 * np.hypot(signal + real, imaginary), np.float32)


def pet(
    rng: Generator,
    suv: Field,
    spacing: Sequence[float],
    noise: float = 0.25,
    fwhm: float = 6.0,
) -> NDArray[np.float32]:
    """Simulate positron emission tomography, in SUV: wide blur and correlated noise.

    ``noise`` is the standard deviation at SUV 1; the variance is proportional to the uptake, as for
    counts. ``fwhm`` is the width of the point spread in mm.
    """
    sigma = fwhm / 2.355
    seen = _blur(suv, spacing, (sigma, sigma, sigma))
    grain = smooth_noise(rng, seen.shape, [0.6 * sigma / s for s in spacing])
    return np.maximum(seen + noise * np.sqrt(np.maximum(seen, 0.05)) * grain, 0)


def srx(
    rng: Generator,
    absorption: Field,
    noise: float,
    rings: float = 0.03,
) -> NDArray[np.uint16]:
    """Simulate synchrotron X-ray microtomography, 16 bit: phase fringes, ring artefacts and noise.

    Free-space propagation enhances edges by a Laplacian, here with a weight of 0.2 (doi
    10.1046/j.1365-2818.2002.01010.x). ``noise`` is the standard deviation of the noise and
    ``rings`` that of the detector's fixed pattern, which reconstruction turns into circles about
    the axis of rotation (z).
    """
    image = ndimage.gaussian_filter(absorption, 0.6)
    image = image - 0.2 * ndimage.laplace(image)
    y, x = (np.arange(n, dtype=np.float32) for n in image.shape[1:])
    # the axis of rotation lies outside the field of view, as in a crop of a larger scan
    radius = np.hypot(y[:, None] + 0.2 * len(y), x - 0.3 * len(x))
    pattern = smooth_noise(rng, (image.shape[0], int(radius.max()) + 2), (20, 0.6))
    image = image + rings * pattern[:, radius.astype(int)]
    image = image + noise * smooth_noise(rng, image.shape, (0.5, 0.5, 0.5))
    return np.asarray(np.clip(np.rint(20000 + 20000 * image), 0, 65535), np.uint16)


def _blur(image: Field, spacing: Sequence[float], sigma: Sequence[float]) -> Field:
    width = [s / mm for s, mm in zip(sigma, spacing, strict=True)]
    return np.asarray(ndimage.gaussian_filter(image, width, mode="nearest"), np.float32)
