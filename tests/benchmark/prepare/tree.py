"""Builder of small files of known content in the formats in which datasets are published."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
import tifffile
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

Labels = NDArray[np.uint8]
SPACING = (2.5, 0.8, 0.7)
ORIGIN = (-12.5, 31.0, -140.0)
CELL = (4, 5, 6)


def scene(*values: int) -> Labels:
    """Return labels with one block per value, in separate cells, without mirror symmetry."""
    size = int(np.ceil(max(len(values), 8) ** (1 / 3)))
    labels = np.zeros([n * (size + 1) for n in CELL], dtype=np.uint8)
    for number, value in enumerate(values):
        cell = np.unravel_index(number, (size, size, size))
        z, y, x = (int(c) * n + 1 for c, n in zip(cell, CELL, strict=True))
        labels[z : z + 2, y : y + 2 + number % 2, x : x + 4] = value
    return labels


def grey(labels: Labels, factor: int = 7) -> NDArray[np.int16]:
    """Return an image of even numbers that follows the labels, with a ramp along each axis."""
    z, y, x = np.indices(labels.shape)
    ramp = 2 * (z + 3 * y + 5 * x)
    return (labels.astype(np.int16) * 2 * factor + ramp - 100).astype(np.int16)


def uid(*names: object) -> str:
    """Return a DICOM UID that depends on ``names`` alone."""
    digits = int(sha256("/".join(map(str, names)).encode()).hexdigest()[:16], 16)
    return f"1.2.826.0.1.3680043.8.498.{digits}"


@dataclass
class Expected:
    """What preparation should give for a scan: the image as read, and each object's voxels."""

    image: NDArray[Any]
    objects: dict[str, NDArray[np.bool_]]
    patient: str | None = None
    note: bool = False


@dataclass
class Tree:
    """A tree of files below ``root``, with the expected content of its scans."""

    root: Path
    scans: dict[str, Expected] = field(default_factory=dict)
    set_aside: set[str] = field(default_factory=set)

    def expect(
        self,
        scan: str,
        labels: Labels,
        names: Mapping[int, str],
        image: NDArray[Any] | None = None,
        patient: str | None = None,
        note: bool = False,
    ) -> None:
        """Register the expected content of a scan with one object per label value."""
        objects = {f"{name}/1": labels == value for value, name in names.items()}
        present = {name: mask for name, mask in objects.items() if mask.any()}
        shown = grey(labels) if image is None else image
        self.scans[scan] = Expected(shown, present, patient, note)

    def image(
        self,
        path: str,
        array: NDArray[Any],
        code: str = "LPS",
        spacing: tuple[float, float, float] = SPACING,
        origin: tuple[float, float, float] = ORIGIN,
    ) -> None:
        """Write an LPS array (z, y, x) as NIfTI, NRRD, MHA or MHD in the orientation ``code``."""
        picture = sitk.GetImageFromArray(array)
        picture.SetSpacing(spacing[::-1])
        picture.SetOrigin(origin)
        sitk.WriteImage(sitk.DICOMOrient(picture, code), str(self.place(path)))

    def raw(self, path: str, array: NDArray[Any], spacing: Sequence[float] = (1.0,) * 3) -> None:
        """Write an array as it is, at origin 0; a fourth dimension is its first axis."""
        picture = sitk.GetImageFromArray(array, isVector=False)
        picture.SetSpacing((*spacing[::-1], *([1.0] * (array.ndim - 3))))
        sitk.WriteImage(picture, str(self.place(path)))

    def pair(self, image: str, label: str, labels: Labels, code: str = "LPS") -> None:
        """Write an image and its label map on the same grid."""
        self.image(image, grey(labels), code)
        self.image(label, labels, code)

    def pictures(self, folder: str, stack: Labels, names: Sequence[str]) -> None:
        """Write one greyscale picture per slice."""
        for name, plane in zip(names, stack, strict=True):
            Image.fromarray(plane).save(self.place(f"{folder}/{name}"))

    def ome_tiff(self, path: str, array: NDArray[Any], micrometres: float) -> None:
        """Write a volume as OME-TIFF with isotropic voxels of ``micrometres``."""
        sizes = {f"PhysicalSize{axis}": micrometres for axis in "XYZ"}
        tifffile.imwrite(self.place(path), array, ome=True, metadata={"axes": "ZYX", **sizes})

    def series(
        self,
        folder: str,
        array: NDArray[Any],
        *,
        patient: str,
        study: str = "study",
        modality: str = "CT",
        description: str = "",
        heights: Sequence[float] | None = None,
        direction: NDArray[np.float64] | None = None,
        spacing: tuple[float, float, float] = SPACING,
        **more: Any,
    ) -> list[Dataset]:
        """Write a DICOM series, one file per slice, with file names in reverse slice order.

        The columns of ``direction`` are the steps along a row, a column and to the next slice.
        """
        depth = len(array)
        where = heights or [ORIGIN[2] + spacing[0] * k for k in range(depth)]
        turn = np.eye(3) if direction is None else direction
        made: list[Dataset] = []
        for k, plane in enumerate(array):
            header = _slice(patient, study, folder, modality, k, plane, where[k], array.dtype)
            header.SeriesDescription = description
            header.PixelSpacing, header.SliceThickness = [spacing[1], spacing[2]], spacing[0]
            if direction is not None:
                corner = np.array(ORIGIN) + turn[:, 2] * spacing[0] * k
                header.ImagePositionPatient = [round(float(v), 9) for v in corner]
                cosines = [*turn[:, 0], *turn[:, 1]]
                header.ImageOrientationPatient = [round(float(v), 12) for v in cosines]
            for name, value in more.items():
                setattr(header, name, value)
            path = self.place(f"{folder}/{depth - k:03d}.dcm")
            header.save_as(path, enforce_file_format=True)
            made.append(pydicom.dcmread(path))
        return made

    def segmentation(
        self,
        path: str,
        source: Sequence[Dataset],
        segments: Sequence[tuple[str, NDArray[np.bool_]]],
        *,
        refer: bool = True,
        kind: str = "BINARY",
        description: str = "Segmentation",
    ) -> Path:
        """Write a DICOM segmentation with highdicom; segments may overlap, without empty frames.

        Return its path.
        """
        import highdicom as hd
        from pydicom.sr.codedict import codes

        described = [
            hd.seg.SegmentDescription(
                segment_number=number,
                segment_label=label,
                segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
                segmented_property_type=codes.SCT.Neoplasm,
                algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
            )
            for number, (label, _) in enumerate(segments, start=1)
        ]
        made = hd.seg.Segmentation(
            source_images=source,
            pixel_array=np.stack([mask for _, mask in segments], axis=-1).astype(np.uint8),
            segmentation_type=kind,
            segment_descriptions=described,
            series_instance_uid=uid(path),
            series_number=9,
            sop_instance_uid=uid(path, 1),
            instance_number=1,
            manufacturer="none",
            manufacturer_model_name="none",
            software_versions="1",
            device_serial_number="1",
            series_description=description,
        )
        if not refer:
            del made.ReferencedSeriesSequence
        made.save_as(file := self.place(path))
        return file

    def place(self, path: str) -> Path:
        """Return a path below the root, after creating its folder."""
        whole = self.root / path
        whole.parent.mkdir(parents=True, exist_ok=True)
        return whole


def _slice(
    patient: str,
    study: str,
    series: str,
    modality: str,
    k: int,
    plane: NDArray[Any],
    height: float,
    dtype: np.dtype[Any],
) -> Dataset:
    kinds = {"CT": "2", "MR": "4", "PT": "128"}
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.SOPClassUID = f"1.2.840.10008.5.1.4.1.1.{kinds[modality]}"
    header.SOPInstanceUID = uid(patient, series, k)
    header.PatientID, header.PatientName = patient, "Test^One"
    header.PatientBirthDate = header.PatientSex = ""
    header.StudyInstanceUID, header.StudyID = uid(patient, study), "1"
    header.StudyDate, header.StudyTime, header.AccessionNumber = "20200101", "120000", ""
    header.ReferringPhysicianName = header.Manufacturer = ""
    header.SeriesInstanceUID, header.SeriesNumber = uid(patient, series), 1
    header.FrameOfReferenceUID, header.PositionReferenceIndicator = uid(patient), ""
    header.Modality, header.InstanceNumber = modality, k + 1
    header.ImageType = ["ORIGINAL", "PRIMARY"]
    header.ImagePositionPatient = [ORIGIN[0], ORIGIN[1], height]
    header.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    header.PixelSpacing, header.SliceThickness = [SPACING[1], SPACING[2]], SPACING[0]
    header.Rows, header.Columns = plane.shape
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated = header.BitsStored = 16
    header.HighBit, header.PixelRepresentation = 15, int(dtype.kind == "i")
    header.RescaleIntercept, header.RescaleSlope = 0, 1
    header.PixelData = plane.astype(np.int16 if dtype.kind == "i" else np.uint16).tobytes()
    return header
