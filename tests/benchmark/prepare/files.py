"""Published paths of datasets that consist of one image file and one label map per scan.

Each dataset has its structures in the order of their values, and for each scan its image, label, id
and patient.
"""

MSD = {
    "D13": ("Task03_Liver", "liver_0", ("liver", "liver tumour")),
    "D14": ("Task06_Lung", "lung_001", ("lung cancer",)),
    "D15": ("Task07_Pancreas", "pancreas_001", ("pancreas", "pancreas cancer")),
    "D16": ("Task08_HepaticVessel", "hepaticvessel_001", ("hepatic vessel", "liver tumour")),
    "D17": ("Task09_Spleen", "spleen_2", ("spleen",)),
    "D18": ("Task10_Colon", "colon_001", ("colon cancer primaries",)),
    "D31": ("Task02_Heart", "la_003", ("left atrium",)),
    "D32": (
        "Task04_Hippocampus",
        "hippocampus_001",
        ("anterior hippocampus", "posterior hippocampus"),
    ),
}
AMOS = (
    "spleen",
    "right kidney",
    "left kidney",
    "gallbladder",
    "oesophagus",
    "liver",
    "stomach",
    "aorta",
    "inferior vena cava",
    "pancreas",
    "right adrenal gland",
    "left adrenal gland",
    "duodenum",
    "bladder",
    "prostate or uterus",
)
WORD = (
    "liver",
    "spleen",
    "left kidney",
    "right kidney",
    "stomach",
    "gallbladder",
    "oesophagus",
    "pancreas",
    "duodenum",
    "colon",
    "intestine",
    "adrenal gland",
    "rectum",
    "bladder",
    "left femoral head",
    "right femoral head",
)
PERSONS = {"hippocampus_001": "1-2", "hippocampus_009": "9-10"}
"""Patients by the numbers of both hippocampi; in the other tasks each scan is one."""
Scan = tuple[str, str, str, str]
FILES: dict[str, tuple[tuple[str, ...], list[Scan]]] = {
    name: (
        names,
        [
            (
                f"{task}/imagesTr/{scan}.nii.gz",
                f"{task}/labelsTr/{scan}.nii.gz",
                scan,
                PERSONS.get(scan, scan),
            )
            for scan in (first, f"{first[:-1]}9")
        ],
    )
    for name, (task, first, names) in MSD.items()
}
FILES |= {
    "D01": (
        ("liver", "kidney", "spleen", "pancreas"),
        [
            (
                f"AbdomenCT-1K-ImagePart{part}/{case}_0000.nii.gz",
                f"Mask/{case}.nii.gz",
                case,
                case,
            )
            for part, case in (
                ("1", "Case_00001"),
                ("2/AbdomenCT-1K-ImagePart2", "Case_00501"),
            )
        ],
    ),
    "D02": (
        AMOS,
        [
            (f"amos22/images{p}/{s}.nii.gz", f"amos22/labels{p}/{s}.nii.gz", s, s)
            for p, s in (("Tr", "amos_0001"), ("Va", "amos_0500"))
        ],
    ),
    "D05": (
        ("COVID-19 infection",),
        [
            (
                "COVID-19-20_v2/Train/volume-covid19-A-0003_ct.nii.gz",
                "COVID-19-20_v2/Train/volume-covid19-A-0003_seg.nii.gz",
                "0003",
                "0003",
            )
        ],
    ),
    "D07": (
        ("primary tumour", "involved lymph nodes"),
        [
            (
                "hecktor2022_training/hecktor2022/imagesTr/CHUM-001__CT.nii.gz",
                "hecktor2022_training/hecktor2022/labelsTr/CHUM-001.nii.gz",
                "CHUM-001",
                "CHUM-001",
            )
        ],
    ),
    "D08": (
        ("intracranial haemorrhage",),
        [("train_2/data/001.nii.gz", "train_2/label/001.nii.gz", "001", "001")],
    ),
    "D10": (
        ("kidney", "kidney tumour", "kidney cyst"),
        [
            (
                "images/case_00000.nii.gz",
                "dataset/case_00000/segmentation.nii.gz",
                "case_00000",
                "case_00000",
            )
        ],
    ),
    "D20": (
        AMOS[:13],
        [
            (f"amos22/images{p}/{s}.nii.gz", f"amos22/labels{p}/{s}.nii.gz", s, s)
            for p, s in (("Tr", "amos_0507"), ("Va", "amos_0600"))
        ],
    ),
    "D21": (
        ("stroke lesion",),
        [
            (
                f"{folder}/sub-r001s001_ses-1_space-MNI152NLin2009aSym_T1w.nii.gz",
                f"{folder}/sub-r001s001_ses-1_space-MNI152NLin2009aSym"
                "_label-L_desc-T1lesion_mask.nii.gz",
                "sub-r001s001_ses-1",
                "sub-r001s001",
            )
            for folder in ("ATLAS_2/Training/R001/sub-r001s001/ses-1/anat",)
        ],
    ),
    "D24": (
        ("left ventricle", "myocardium", "right ventricle"),
        [
            (
                f"MnM2/dataset/001/001_SA_{phase}.nii.gz",
                f"MnM2/dataset/001/001_SA_{phase}_gt.nii.gz",
                f"001_SA_{phase}",
                "001",
            )
            for phase in ("ED", "ES")
        ],
    ),
    "D27": (
        ("prostate",),
        [
            (
                f"{part}/{case}.mhd",
                f"{part}/{case}_segmentation.mhd",
                f"{part.partition('/')[0]}-{case}",
                f"{part.partition('/')[0]}-{case}",
            )
            for part, case in (
                ("training_data", "Case00"),
                ("test_data/test_data", "Case00"),
                ("livechallenge_test_data", "Case01"),
            )
        ],
    ),
    "D41": (
        WORD,
        [
            (
                "WORD-V0.1.0/imagesTr/word_0002.nii.gz",
                "WORD-V0.1.0/labelsTr/word_0002.nii.gz",
                "word_0002",
                "word_0002",
            ),
            (
                "WORD-V0.1.0/imagesVal/word_0001.nii.gz",
                "WORD-V0.1.0/labelsVal/word_0001.nii.gz",
                "word_0001",
                "word_0001",
            ),
            (
                "WORD-V0.1.0/imagesTs/word_0014.nii.gz",
                "labelsTs/labelsTs/word_0014.nii.gz",
                "word_0014",
                "word_0014",
            ),
        ],
    ),
    "D42": (
        ("right ventricle", "myocardium", "left ventricle"),
        [
            (
                f"ACDC/database/{part}/{patient}/{patient}_frame{frame}.nii.gz",
                f"ACDC/database/{part}/{patient}/{patient}_frame{frame}_gt.nii.gz",
                f"{patient}_frame{frame}",
                patient,
            )
            for part, patient, frame in (
                ("training", "patient001", "01"),
                ("training", "patient001", "12"),
                ("testing", "patient101", "01"),
            )
        ],
    ),
}
DECOYS = {
    "D01": ["AbdomenCT-1K-ImagePart3/Case_01063_0000.nii.gz"],
    "D02": ["amos22/imagesTr/amos_0507.nii.gz", "__MACOSX/amos22/imagesTr/._amos_0001.nii.gz"],
    "D20": ["amos22/imagesTr/amos_0001.nii.gz", "amos22/imagesTs/amos_0550.nii.gz"],
    "D24": ["MnM2/dataset/001/001_LA_ED.nii.gz", "MnM2/dataset/001/001_SA_CINE.nii.gz"],
    "D27": ["test_data/Case29.mhd"],
    "D32": ["Task04_Hippocampus/imagesTr/._hippocampus_001.nii.gz"],
    "D41": ["WORD-V0.1.0/imagesTs/word_0099.nii.gz"],
    "D42": ["ACDC/database/training/patient001/patient001_4d.nii.gz"],
}
"""Other published files, which must not become scans."""
CODES = {"D10": "IPL", "D13": "RAS", "D27": "LPS", "D32": "LPI", "D21": "RAS"}
"""Orientation of the files where it is documented or customary; LPS for the others."""
