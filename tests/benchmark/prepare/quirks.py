"""Datasets with quirks in their published form: builders of a small file tree with each quirk."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from tests.benchmark.prepare.tree import ORIGIN, SPACING, Expected, Tree, grey, scene, uid

Build = Callable[[Tree], None]
QUIRKS: dict[str, Build] = {}


def quirk(name: str) -> Callable[[Build], Build]:
    def register(build: Build) -> Build:
        QUIRKS[name] = build
        return build

    return register


LESION = {1: "lesion"}
ACTIVITY: dict[str, Any] = {
    "Units": "BQML",
    "CorrectedImage": ["DECY", "ATTN"],
    "DecayCorrection": "START",
    "PatientWeight": 80,
    "SeriesDate": "20200101",
    "SeriesTime": "130000",
    "AcquisitionDate": "20200101",
    "AcquisitionTime": "130000",
}


def pet(
    tree: Tree, root: str, study: str, patient: str = "PETCT_1"
) -> tuple[NDArray[np.float32], list[Dataset]]:
    """Write a PET series two half-lives after injection; returns its SUV and headers."""
    dose = Dataset()
    dose.RadionuclideTotalDose = 320e6
    dose.RadionuclideHalfLife = 1800
    dose.RadiopharmaceuticalStartTime = "120000"
    activity = (grey(scene(1)) + 100).astype(np.uint16) * 10
    made = tree.series(
        f"{root}/PT_1",
        activity,
        patient=patient,
        study=study,
        modality="PT",
        RadiopharmaceuticalInformationSequence=[dose],
        **ACTIVITY,
    )
    return activity.astype(np.float32) * 80_000 / (320e6 / 4), made


def short(*names: object) -> str:
    from hashlib import sha256

    return sha256(uid(*names).encode()).hexdigest()[:8]


@quirk("D03")
def suv(tree: Tree) -> None:
    labels = scene(1)
    for patient, study in (("PETCT_1", "a"), ("PETCT_1", "b"), ("PETCT_2", "a")):
        root = f"fdg_pet_ct_lesions/{patient}/{study}"
        uptake, source = pet(tree, root, study, patient)
        tree.series(f"{root}/CT_1", grey(labels), patient=patient, study=study)
        tree.segmentation(f"{root}/SEG_1/seg.dcm", source, [("Neoplasm", labels == 1)])
        scan = f"{patient}-{short(patient, study)}"
        tree.expect(scan, labels, LESION, uptake, patient)


@quirk("D04")
def ct_on_the_grid_of_the_pet(tree: Tree) -> None:
    labels = scene(1)
    root = "fdg_pet_ct_lesions/PETCT_1/a"
    _, source = pet(tree, root, "a")
    fine = np.repeat(grey(labels), 2, axis=0)
    heights = [-140.0 + 1.25 * k for k in range(len(fine))]
    tree.series(f"{root}/CT_1", fine, patient="PETCT_1", study="a", heights=heights)
    tree.segmentation(f"{root}/SEG_1/seg.dcm", source, [("Neoplasm", labels == 1)])
    scan = f"PETCT_1-{short('PETCT_1', 'a')}"
    tree.expect(scan, labels, LESION, grey(labels), "PETCT_1")


@quirk("D06")
def not_in_hounsfield_units(tree: Tree) -> None:
    names = {1: "left lung", 2: "right lung", 3: "COVID-19 infection"}
    labels = scene(1, 2, 3)
    mask = "Lung_and_Infection_Mask/{}.nii.gz"
    image = "COVID-19-CT-Seg_20cases/{}.nii.gz"
    tree.pair(image.format("coronacases_001"), mask.format("coronacases_001"), labels)
    tree.expect("coronacases_001", labels, names)
    eight = np.clip(grey(labels) + 100, 0, 255).astype(np.uint8)
    for scan in ("radiopaedia_10_85902_1", "radiopaedia_10_85902_3"):  # two series of one case
        tree.image(image.format(scan), eight)
        tree.image(mask.format(scan), labels)
        tree.expect(scan, labels, names, eight / 255 * 1500 - 1250, "radiopaedia_10")


@quirk("D09")
def plus_one_thousand(tree: Tree) -> None:
    labels = scene(1, 2, 3, 4)
    tree.image("train/image/0.nii.gz", grey(labels) + np.int16(1000))
    tree.image("train/label/0.nii.gz", labels)
    names = {1: "renal vein", 2: "kidney", 3: "renal artery", 4: "kidney tumour"}
    tree.expect("0", labels, names)


@quirk("D11")
def node_ids(tree: Tree) -> None:
    labels = scene(1, 2, 5)
    for patient in ("MED_LYMPH_001", "ABD_LYMPH_001"):
        tree.series(f"ct_lymph_nodes/{patient}/s/CT_1", grey(labels), patient=patient)
        tree.raw(f"MED_ABD_LYMPH_MASKS/{patient}/{patient}_mask.nii.gz", labels)
    nodes = {f"mediastinal lymph node/{i}": labels == v for i, v in ((1, 1), (2, 2), (3, 5))}
    tree.scans["MED_LYMPH_001"] = Expected(grey(labels), nodes, "MED_LYMPH_001")


@quirk("D12")
def two_rasters_that_overlap(tree: Tree) -> None:
    """The right cavity touches the left, and has less than 10 % of its voxels."""
    cavity = scene(1)
    cavity[1:6, 1:9, 1:12] = 1
    cavity[1:6, 9:10, 4:8] = 2
    effusion = np.zeros_like(cavity)
    effusion[2:4, 2:5, 3:9] = 1
    patient = "LUNG1-001"
    tree.series(f"nsclc_radiomics/{patient}/s/CT_1", grey(cavity), patient=patient)
    for name, mask in (
        ("Thoracic_Cavities/{0}/{0}_thor_cav_primary_reviewer", cavity),
        ("Effusions/{0}/{0}_effusion_first_reviewer", effusion),
        ("Effusions/{0}/{0}_effusion_second_reviewer", cavity),
    ):
        tree.raw(f"{name.format(patient)}.nii.gz", mask[:, ::-1])
    objects = {
        "thoracic cavity/1": cavity == 1,
        "thoracic cavity/2": cavity == 2,
        "pleural effusion/1": effusion == 1,
    }
    tree.scans[patient] = Expected(grey(cavity), objects, patient)


@quirk("D19")
def a_file_a_structure(tree: Tree) -> None:
    labels = scene(1, 2, 3)
    tree.image("Totalsegmentator_dataset/s0000/ct.nii.gz", grey(labels))
    folder = "Totalsegmentator_dataset/s0000/segmentations"
    files = {1: "spleen", 2: "vertebrae_L5", 3: "urinary_bladder", 9: "liver"}
    for value, name in files.items():
        tree.image(f"{folder}/{name}.nii.gz", (labels == value).astype(np.uint8))
    tree.expect("s0000", labels, {1: "spleen", 2: "vertebrae_L5", 3: "bladder"})


@quirk("D22")
def four_files_a_case(tree: Tree) -> None:
    names = {1: "non-enhancing tumour core", 2: "peritumoural oedema", 3: "enhancing tumour"}
    labels = scene(1, 2, 3)
    case = "BraTS-GLI-00000-000"
    folder = f"ASNR-MICCAI-BraTS2023-GLI-Challenge-TrainingData/{case}"
    tree.image(f"{folder}/{case}-seg.nii.gz", labels)
    files = {"T1": "t1n", "T1ce": "t1c", "T2": "t2w", "FLAIR": "t2f"}
    for number, (channel, suffix) in enumerate(files.items(), start=1):
        image = grey(labels, number)
        tree.image(f"{folder}/{case}-{suffix}.nii.gz", image)
        tree.expect(f"{case}.{channel}", labels, names, image, "BraTS-GLI-00000")


@quirk("D23")
def empty_masks_and_two_sequences(tree: Tree) -> None:
    labels = scene(1)
    old = "sub-strokecase0002"  # in the older layout
    for case, drawn in (
        ("sub-strokecase0001", labels),
        (old, labels),
        ("sub-strokecase0150", labels * 0),
    ):
        root = "ISLES-2022"
        for number, suffix in enumerate(("dwi", "adc"), start=1):
            image = grey(labels, number)
            folder = f"rawdata/{case}/ses-0001" if case == old else f"{case}/ses-0001/dwi"
            tree.image(f"{root}/{folder}/{case}_ses-0001_{suffix}.nii.gz", image)
            if drawn.any():
                names = {1: "ischaemic stroke lesion"}
                tree.expect(f"{case}.{suffix.upper()}", labels, names, image, case)
        tree.image(f"{root}/derivatives/{case}/ses-0001/{case}_ses-0001_msk.nii.gz", drawn)


@quirk("D25")
def masks_on_other_slices(tree: Tree) -> None:
    names = {1: "peripheral zone", 2: "central gland"}
    labels = scene(1, 2)
    for patient, folder, suffix in (
        ("Prostate3T-01-0001", "Training", ""),
        ("ProstateDx-01-0006", "Leaderboard/deep", "_correctedLabels"),
    ):
        sequence = "t2_tse_tra" if suffix == "" else "T2W_TSE_AX"
        image = tree.series(
            f"idc/{patient}/s/MR_1",
            grey(labels),
            patient=patient,
            modality="MR",
            description=sequence,
        )
        assert image
        path = f"NCI-ISBI-{folder}/{patient}{suffix}.nrrd"
        if suffix:
            tree.image(path, labels[:8], origin=(-12.5, 31.0, -140.0))
        else:
            tree.image(path, labels)
        tree.expect(patient, labels, names, patient=patient, note=bool(suffix))


@quirk("D26")
def most_masks_are_empty(tree: Tree) -> None:
    labels = scene(3)
    for patient, case, drawn in (
        ("10000", "10000_1000000", labels * 0),
        ("10005", "10005_1000005", labels),
        ("10006", "10006_1000006", None),
    ):
        tree.image(f"images/{patient}/{case}_t2w.mha", grey(labels))
        tree.image(f"images/{patient}/{case}_adc.mha", grey(labels))
        if drawn is not None:
            folder = "picai_labels/csPCa_lesion_delineations/human_expert/resampled"
            tree.image(f"{folder}/{case}.nii.gz", drawn)
    tree.expect("10005_1000005", labels, {3: "prostate cancer"}, patient="10005")


@quirk("D28")
def numbers_differ_and_segments_overlap(tree: Tree) -> None:
    gland = scene(1)
    gland[2:9, 2:12, 2:14] = 1
    zone, lesion, normal = (np.zeros_like(gland) for _ in range(3))
    zone[3:8, 6:12, 2:14] = 1
    lesion[4:6, 8:10, 5:9] = 1
    normal[4:6, 8:10, 10:13] = 1
    masks = {
        "Prostate": gland,
        "Peripheral zone of the prostate": zone,
        "Lesion": lesion,
        "Normal": normal,
    }
    patient = "PCAMPMRI-00001"
    for text, order in (
        ("T2 Weighted Axial", [0, 1, 2, 3]),
        ("Apparent Diffusion Coefficient", [2, 0, 3, 1]),
    ):
        root = f"qin_prostate_repeatability/{patient}/s"
        source = tree.series(
            f"{root}/MR_{text[0]}", grey(gland), patient=patient, modality="MR", description=text
        )
        path = f"{root}/SEG_{text[0]}/1.dcm"
        segments = [list(masks.items())[i] for i in order]
        tree.segmentation(
            path,
            source,
            [(name, mask == 1) for name, mask in segments],
            description=f"{text} Segmentations",
        )
        scan = f"{patient}-{short(patient, 'study')}-{short(path)}"
        objects = {
            "prostate/1": gland == 1,
            "peripheral zone/1": zone == 1,
            "suspected tumour/1": lesion == 1,
        }
        tree.scans[scan] = Expected(grey(gland), objects, patient)


@quirk("D29")
def a_file_a_vertebra(tree: Tree) -> None:
    labels = scene(1, 2, 3, 4)
    picture = sitk.GetImageFromArray((grey(labels) + 200).astype(np.uint16))
    picture.SetSpacing((0.7, 0.8, 2.5))
    objects = {
        "thoracic vertebra/1": labels == 1,
        "lumbar vertebra/1": labels == 2,
        "lumbar vertebra/2": labels == 3,
        "sacral vertebra/1": labels == 4,
    }
    for scan, patient in (("DzZ_T1", "DzZ"), ("DzZ_T2", "DzZ"), ("S01", "S01")):
        sitk.WriteImage(picture, str(tree.place(f"SpineDatasets/{scan}.dcm")))
        for value, name in enumerate(("T12", "L1", "L2", "S1"), start=1):
            mask = (labels == value).astype(np.uint8) * np.uint8(200)
            tree.raw(f"SpineSegmented/{scan}/{name}.mha", mask)
        whole = (labels > 0).astype(np.uint8)
        tree.raw(f"SpineSegmented/{scan}/{scan}_mask.mha", whole)
        tree.scans[scan] = Expected(grey(labels) + 200, objects, patient)


def four_axes(tree: Tree, task: str, scan: str, channels: list[str], names: dict[int, str]) -> None:
    labels = scene(*names)
    images = [grey(labels, number) for number in range(1, len(channels) + 1)]
    tree.raw(f"{task}/imagesTr/{scan}.nii.gz", np.stack(images), (2.5, 0.8, 0.7))
    tree.raw(f"{task}/labelsTr/{scan}.nii.gz", labels, (2.5, 0.8, 0.7))
    for channel, image in zip(channels, images, strict=True):
        tree.expect(f"{scan}.{channel}", labels, names, image, scan)


@quirk("D30")
def four_channels_of_one_file(tree: Tree) -> None:
    names = {1: "peritumoural oedema", 2: "non-enhancing tumour core", 3: "enhancing tumour"}
    channels = ["FLAIR", "T1w", "T1gd", "T2w"]
    four_axes(tree, "Task01_BrainTumour", "BRATS_001", channels, names)


@quirk("D33")
def two_channels_of_one_file(tree: Tree) -> None:
    names = {1: "peripheral zone", 2: "transition zone"}
    four_axes(tree, "Task05_Prostate", "prostate_00", ["T2", "ADC"], names)


@quirk("D34")
def folders_of_uneven_depth(tree: Tree) -> None:
    labels = scene(1, 2)
    for folder, scan in (
        ("training/Utrecht/0", "training-Utrecht-0"),
        ("training/Amsterdam/GE3T/100", "training-GE3T-100"),
        ("test/Amsterdam/Philips_VU .PETMR_01./160", "test-Philips_VU .PETMR_01.-160"),
    ):
        for number, channel in enumerate(("FLAIR", "T1"), start=1):
            image = grey(labels, number)
            tree.image(f"{folder}/pre/{channel}.nii.gz", image)
            names = {1: "white matter hyperintensity"}
            tree.expect(f"{scan}.{channel}", labels, names, image, scan)
        tree.image(f"{folder}/wmh.nii.gz", labels)


@quirk("D35")
def one_of_three_phases(tree: Tree) -> None:
    labels = scene(1)
    for patient in ("Adrenal_Ki67_Seg_001", "Adrenal_Ki67_Seg_002"):
        root = f"adrenal_acc_ki67_seg/{patient}/s"
        tree.series(f"{root}/CT_1", grey(labels, 2), patient=patient)
        source = tree.series(f"{root}/CT_2", grey(labels), patient=patient)
        tree.segmentation(f"{root}/SEG_1/seg.dcm", source, [("Neoplasm, Primary", labels == 1)])
        tree.expect(patient, labels, {1: "adrenocortical carcinoma"}, patient=patient)
    fine = labels.repeat(2, axis=1).repeat(2, axis=2)  # of CT_1, on a grid that only CT_2 has
    patient, root = "Adrenal_Ki67_Seg_003", "adrenal_acc_ki67_seg/Adrenal_Ki67_Seg_003/s"
    referred = tree.series(f"{root}/CT_1", grey(labels, 2), patient=patient)
    finer = (SPACING[0], SPACING[1] / 2, SPACING[2] / 2)
    source = tree.series(f"{root}/CT_2", grey(fine), patient=patient, spacing=finer)
    file = tree.segmentation(f"{root}/SEG_1/seg.dcm", source, [("Neoplasm, Primary", fine == 1)])
    change = pydicom.dcmread(file)
    change.ReferencedSeriesSequence[0].SeriesInstanceUID = referred[0].SeriesInstanceUID
    change.save_as(file)
    names = {1: "adrenocortical carcinoma"}
    tree.expect(patient, labels, names, grey(labels, 2), patient=patient, note=True)


@quirk("D36")
def pictures_from_the_other_end(tree: Tree) -> None:
    labels = scene(1)
    names = [f"liver_GT_{k:03d}.png" for k in range(len(labels))]
    for patient in ("1", "2"):
        tree.series(f"Train_Sets/CT/{patient}/DICOM_anon", grey(labels), patient=patient)
        tree.pictures(f"Train_Sets/CT/{patient}/Ground", labels[::-1] * np.uint8(255), names)
        tree.expect(patient, labels, {1: "liver"})


@quirk("D37")
def a_file_an_organ(tree: Tree) -> None:
    names = {1: "A_Carotid_L", 2: "Bone_Mandible", 3: "SpinalCord"}
    labels = scene(*names)
    for case in ("case_01", "case_02"):
        start = f"HaN-Seg/set_1/{case}/{case}"
        tree.image(f"{start}_IMG_CT.nrrd", grey(labels))
        tree.image(f"{start}_IMG_MR_T1.nrrd", grey(labels, 3))
        for value, name in names.items():
            mask = (labels == value).astype(np.uint8)
            tree.image(f"{start}_OAR_{name}.seg.nrrd", mask)
        tree.expect(case, labels, names)


@quirk("D38")
def references_that_are_missing_or_wrong(tree: Tree) -> None:
    liver = scene(1)
    liver[1:9, 1:12, 1:15] = 1
    tumour, vessel, aorta = (np.zeros_like(liver) for _ in range(3))
    tumour[3:6, 3:6, 4:9] = 1
    vessel[2:8, 8:10, 5:7] = 1
    aorta[1:10, 13:15, 16:18] = 1
    segments = [
        ("Liver", liver == 1),
        ("Mass", tumour == 1),
        ("Portal vein", vessel == 1),
        ("Abdominal aorta", aorta == 1),
    ]
    objects = {
        "liver/1": liver == 1,
        "liver tumour/1": tumour == 1,
        "liver blood vessel/1": vessel == 1,
    }
    elsewhere = [100.0 + 2.5 * k for k in range(len(liver))]
    for patient, refer in (("HCC_001", True), ("HCC_048", False)):
        root = f"hcc_tace_seg/{patient}/s"
        tree.series(f"{root}/CT_1", grey(liver, 2), patient=patient, heights=elsewhere)
        source = tree.series(f"{root}/CT_2", grey(liver), patient=patient)
        tree.segmentation(f"{root}/SEG_1/seg.dcm", source, segments, refer=refer)
        tree.scans[patient] = Expected(grey(liver), objects, patient)
    root = "hcc_tace_seg/HCC_050/s"  # no reference to a series, and two phases that fit
    tree.series(f"{root}/CT_1", grey(liver, 2), patient="HCC_050")
    source = tree.series(f"{root}/CT_2", grey(liver), patient="HCC_050")
    tree.segmentation(f"{root}/SEG_1/seg.dcm", source, segments, refer=False)
    tree.set_aside.add("HCC_050")
    root = "hcc_tace_seg/HCC_051/s"  # refers to a series of two acquisitions
    heights = [ORIGIN[2] + SPACING[0] * k for k in range(len(liver))] * 2
    tree.series(f"{root}/CT_1", grey(liver, 2), patient="HCC_051")
    twice = np.concatenate([grey(liver), grey(liver)])
    source = tree.series(f"{root}/CT_2", twice, patient="HCC_051", heights=heights)
    tree.segmentation(f"{root}/SEG_1/seg.dcm", source[: len(liver)], segments)
    tree.set_aside.add("HCC_051")


@quirk("D39")
def annotated_in_part(tree: Tree) -> None:
    apart = scene(1, 2, 3)
    labels = (apart > 0).astype(np.uint8)
    nodes = {f"mediastinal lymph node/{number}": apart == number for number in (1, 2, 3)}
    for patient in ("case_0002", "case_0003", "case_0004"):
        root = f"mediastinal_lymph_node_seg/{patient}/s"
        source = tree.series(f"{root}/CT_1", grey(labels), patient=patient)
        text = "Fully Annotated" if patient == "case_0004" else "Partially Annotated"
        segments = [("Lymph node", labels == 1)]
        tree.segmentation(f"{root}/SEG_1/1.dcm", source, segments, description=text)
        tree.scans[patient] = Expected(grey(labels), nodes, patient)


@quirk("D40")
def slices_first_and_two_raters(tree: Tree) -> None:
    """The cases of a patient, as of case 1 here, are numbered."""
    labels = scene(1)
    other = np.roll(labels, 1, axis=2)
    train, validation = "training_data_v3_QC", "validation_data_qubiq2021_QC"
    for part, task, between, case, patient in (
        (train, "pancreas", "", "case1-1", "case1"),
        (train, "pancreas", "Training/", "case1-2", "case1"),
        (train, "pancreatic-lesion", "", "case1-1", "case1"),
        (validation, "pancreatic-lesion", "Validation/", "case13-1", "case13"),
    ):
        folder = f"{part}/{task}/{between}{case}"
        tree.raw(f"{folder}/image.nii.gz", grey(labels).transpose(2, 1, 0))
        for rater, drawn in (("1", labels), ("2", other)):
            tree.raw(f"{folder}/task01_seg0{rater}.nii.gz", drawn.transpose(2, 1, 0))
            scan = f"{part}-{task}-{case}-0{rater}"
            tree.expect(scan, drawn, {1: task.replace("-", " ")}, grey(labels), patient)


@quirk("D43")
def grey_values(tree: Tree) -> None:
    names = {1: "liver", 2: "right kidney", 3: "left kidney", 4: "spleen"}
    labels = scene(*names)
    stored = np.array([0, 63, 126, 189, 252], dtype=np.uint8)[labels]
    double = [f"IMG-0004-{2 * (k + 1):05d}.png" for k in range(len(labels))]
    single = [f"IMG-0002-{k + 1:05d}.png" for k in range(len(labels))]
    for patient in ("1", "2"):
        root = f"Train_Sets/MR/{patient}"
        for number, (folder, sequence) in enumerate(
            (
                ("T1DUAL/DICOM_anon/InPhase", "T1-in"),
                ("T1DUAL/DICOM_anon/OutPhase", "T1-out"),
                ("T2SPIR/DICOM_anon", "T2"),
            ),
            start=1,
        ):
            image = grey(labels, number)
            tree.series(f"{root}/{folder}", image, patient=patient, modality="MR")
            tree.expect(f"{patient}-{sequence}", labels, names, image, patient)
        tree.pictures(f"{root}/T1DUAL/Ground", stored, double)
        tree.pictures(f"{root}/T2SPIR/Ground", stored, single)


@quirk("D44")
def micrometres(tree: Tree) -> None:
    """The folders are those of the file list of the study."""
    labels = scene(1)
    for block in ("h3_glomeruli_roi1", "h4_glomeruli_roi2", "h5_glomeruli_roi3"):  # all there are
        scan = f"kidney2_D4_{block}"
        tree.ome_tiff(f"Kidney_2/{scan}_raw_pag.ome.tiff", grey(labels), 1.625)
        annotation = f"Kidney_2/D4_training_data/glomeruli/{scan}_annotation.ome.tiff"
        tree.ome_tiff(annotation, labels * np.uint8(255), 1.625)
        tree.expect(scan, labels, {1: "glomerulus"}, patient="kidney2")
