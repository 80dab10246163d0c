"""Fixed windows of CT, as clinicians set them: what a dynamic one is held against (Fig. 6d)."""

CLINICAL: dict[str, tuple[float, float]] = {
    "soft-tissue": (-150.0, 250.0),
    "lung": (-1350.0, 150.0),
    "bone": (-500.0, 1300.0),
    "brain": (0.0, 80.0),
}
"""Both ends in Hounsfield units. Centres and widths 50 and 400 (abdomen), -600 and 1500, 400 and
1800 (spine), 40 and 80 are those of `SOURCE`; which ones the paper took stands in its Supplementary
Table S18, which is not part of its text."""

SOURCE = "radiopaedia.org/articles/windowing-ct"
