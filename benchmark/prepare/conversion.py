"""Conversion to NIfTI, once, of images that cannot be used in their published form.

The converted image keeps its own grid, unless the layout changes it.
"""

from dataclasses import replace
from pathlib import Path

from benchmark import volume
from benchmark.catalogue import Dataset
from benchmark.errors import UserError
from benchmark.geometry import Geometry, same_grid
from benchmark.prepare import dicomseg, labels, rasters
from benchmark.prepare.scans import Scan
from benchmark.transforms import Channel, resample
from benchmark.volume import Volume

_SHOWN = 5  # series named in a reason
BY_GRID = "image found by its grid: the label names another series"


def image_of(dataset: Dataset, scan: Scan, folder: Path) -> tuple[tuple[Path, ...], Volume]:
    """Read the image of a `resolved` scan; return the paths to read it from later, and the volume.

    DICOM, TIFF and Zarr files, and images that the layout transforms, are converted into
    ``folder``. Everything else stays where it is.
    """
    paths = scan.images
    names = (scan.channel[1],) if scan.channel else dataset.channels
    plain = not scan.layout.image_transforms and scan.region is None and scan.grid is None
    # a channel has to be extracted only if it has no file of its own
    picked = scan.channel and len(scan.layout.image) == 1
    if not (plain and not picked and all(rasters.readable(path) for path in paths)):
        converted = _targets(scan, folder)
        for path, target in zip(paths, converted, strict=True):
            _convert(scan, path, target, dataset.channels if picked else ())
        paths = converted
    return paths, volume.read(paths, modality=dataset.modality, channels=names)


def resolved(scan: Scan) -> Scan:
    """Return the scan with the one series that its label was drawn on, and a note if it was found.

    A series in another frame of reference than the label is taken if the label names a series
    which it lies in no part of, and if this one alone has its exact grid. Raises `UserError` where
    there is no series or the choice is ambiguous.
    """
    if not scan.layout.series:
        return scan
    if scan.elsewhere and not any(_may_hold(scan, path) for path in scan.images):
        fitting = [path for path in scan.elsewhere if _fits(scan, path)]
        if len(fitting) == 1:
            return replace(scan, images=(fitting[0],), note=BY_GRID)
    return replace(scan, images=(_chosen(scan),))


def discard(scan: Scan, folder: Path) -> None:
    """Delete the converted images of a scan, if there are any."""
    for path in _targets(scan, folder):
        path.unlink(missing_ok=True)


def _targets(scan: Scan, folder: Path) -> tuple[Path, ...]:
    """Return the paths that the images of a scan are converted to; a DICOM series has one."""
    count = 1 if scan.layout.series else len(scan.images)
    numbers = [f".{number}" for number in range(count)] if count > 1 else [""]
    return tuple(folder / f"{scan.id}{number}.nii.gz" for number in numbers)


def _convert(scan: Scan, path: Path, target: Path, channels: tuple[str, ...]) -> None:
    """Convert an image; of a file that holds all ``channels``, the one of the scan."""
    raster = rasters.read(path, scan.region, scan.layout.image_transforms)
    if scan.channel and channels:
        if len(raster.array) != len(channels):
            raise UserError(
                f"{path}: another number of channels. Expected {len(channels)} "
                f"({', '.join(channels)}); got {len(raster.array)}. Likely cause: another file, or "
                "another order. Next step: check the file against the catalogue entry."
            )
        raster = Channel(name="channel", index=scan.channel[0]).apply(raster)
    for transform in scan.layout.image_transforms:
        raster = transform.apply(raster)
    if scan.grid:
        raster = resample.onto(raster, volume.read_header(scan.grid).native, nearest=False)
    array = raster.grid.to_canonical(raster.array)
    volume.write(array if len(array) > 1 else array[0], raster.grid, target)


def _chosen(scan: Scan) -> Path:
    """Return the series that a label was drawn on.

    This is the series that the label refers to, if the label lies within it (on whatever grid),
    otherwise the only one whose grid it fits: some references are missing or name a series that
    lies elsewhere. A referenced series that cannot be read may still be the right one; it is
    returned, so that reading it fails and no other phase of the study is taken instead. Raises
    `UserError` where there is no series or the choice is ambiguous.
    """
    if not scan.images:
        raise UserError(
            f"{scan.label}: no image series. Expected one of the modality "
            f"{scan.layout.series and scan.layout.series.modality} in the same study, and with the "
            "same FrameOfReferenceUID unless the label refers to it; got "
            f"{len(scan.elsewhere)} in other frames, not one of which alone has its grid. Likely "
            "cause: an incomplete download, or a label of another series. Next step: fetch the "
            "dataset again; if it is complete, leave the scan out."
        )
    if len(scan.images) == 1:
        return scan.images[0]
    fitting = [path for path in scan.images if _fits(scan, path)]
    first = scan.images[0]
    if "referred" in scan.fields and (not fitting or _may_hold(scan, first)):
        return first
    if len(fitting) == 1:
        return fitting[0]
    cause = "phases of one study on the same grid"
    if not fitting:
        cause = "a label that was drawn on another series, or resampled, or that tells no grid"
    raise UserError(
        f"{scan.label}: it is not known which image the label belongs to. Expected one series "
        f"that it refers to or that has its exact grid; got {len(fitting)} with its grid, of "
        f"{len(scan.images)} ({', '.join(path.name for path in scan.images[:_SHOWN])}). Likely "
        f"cause: {cause}. Next step: name the series that is meant by layout.series.description, "
        "or leave the scan out."
    )


def _fits(scan: Scan, path: Path) -> bool:
    """Return whether a label lies on the grid of a series; false if the series cannot be read."""
    try:
        header = volume.read_header(path)
    except UserError:  # for example two acquisitions in one series
        return False
    if scan.layout.label is None:
        return dicomseg.fits(scan.label, header.native)
    file = next(iter(labels.files_of(scan)), scan.label)
    if file.suffix.lower() == ".png":  # which tells no grid
        return False
    return same_grid(header, volume.read_header(file)) is None


def _may_hold(scan: Scan, path: Path) -> bool:
    """Return whether a segmentation lies within a series; true if the series cannot be read."""
    try:
        grid: Geometry = volume.read_header(path).native
    except UserError:
        return True
    return dicomseg.lies_within(scan.label, grid)
