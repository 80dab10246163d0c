"""Fixed CT windows in clinical use, with which dynamic windows are compared (paper, Fig. 6d)."""

CLINICAL: dict[str, tuple[float, float]] = {
    "soft-tissue": (-150.0, 250.0),
    "lung": (-1350.0, 150.0),
    "bone": (-500.0, 1300.0),
    "brain": (0.0, 80.0),
}
"""Lower and upper end in Hounsfield units.

Centres and widths are from `SOURCE`: 50 and 400 (abdomen), -600 and 1500 (lung), 400 and 1800
(spine), 40 and 80 (brain). The paper's windows are in its Supplementary Table S18, which is not
part of its text.
"""

SOURCE = "radiopaedia.org/articles/windowing-ct"
