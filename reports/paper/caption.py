"""The numbers that the paper states about each of its figures, for the captions of ours."""

import csv
from typing import TYPE_CHECKING

from reports.paper.ledger import NUMBERS

if TYPE_CHECKING:
    from reports.results import Results

STATED: dict[str, dict[str, str]] = {
    "fig3a": {
        "n_datasets": "datasets",
        "n_object_types": "object types",
        "n_3d_objects": "objects",
    },
    "fig4a": {
        "dsc_gain_2dbox_vs_medsam": "DSC of PAM-2DBox above MedSAM",
        "dsc_gain_2dbox_vs_segvol": "above SegVol",
        "dsc_gain_2dmask_vs_medsam": "of PAM-2DMask above MedSAM",
        "dsc_gain_2dmask_vs_segvol": "above SegVol",
        "wins_internal_both_pam": "internal datasets on which both PAM lead",
        "wins_external_both_pam": "external ones",
    },
    "fig4b": {
        "p_boundary_metrics_max": "P of NSD, HD95 and ASD",
        "p_sensitivity_max": "P of sensitivity",
    },
    "fig4c": {
        "dsc_pam3dbox_subset10": "DSC of PAM-3DBox on ten datasets",
        "dsc_2dbox_subset10": "of PAM-2DBox",
        "dsc_2dmask_subset10": "of PAM-2DMask",
        "dsc_nnunet_subset10": "of nnU-Net",
    },
    "fig4d": {"p_inference_time": "P of the rank-sum tests"},
    "fig4e": {
        "interaction_time_reduction": "time saved by a box on one view instead of two",
        "p_interaction_mask_vs_2viewbox": "a mask against a box on two views",
    },
    "fig4f": {
        "anova_p_deviation_2dbox": "ANOVA of PAM-2DBox",
        "anova_p_deviation_2dmask": "of PAM-2DMask",
    },
    "fig4g": {
        "anova_p_thickness_2dbox": "ANOVA of PAM-2DBox",
        "anova_p_thickness_2dmask": "of PAM-2DMask",
    },
    "fig5b": {"pearson_r_irregularity_max": "each r"},
    "fig5e": {"km_logrank_p_2d": "log-rank by area", "km_logrank_p_3d": "by volume"},
    "fig6a": {"p_finetune_vs_medsam_gain": "gain by fine-tuning against gain over MedSAM"},
    "fig6b": {
        "scratch_recovery_min": "recovery on the own dataset",
        "scratch_recovery_D35_on_D39": "of D39 by D35",
    },
    "fig6d": {"norm_ablation_wins": "datasets of ten on which dynamic normalisation leads"},
}
"""By figure: keys of ``numbers.csv``, and their wording in a caption."""

_SIGNS = {"P": "P = ", "<": "< ", "<=": "≤ ", ">": "> "}


def applies(figure: str, results: "Results") -> bool:
    """Return whether the paper's numbers apply to our figure: Fig. 5b must be against MedSAM."""
    if figure != "fig5b":
        return True
    against = results.statistics("regularity")["reference"].unique()
    return [results.method_record(method).adapter for method in against] == ["medsam"]


def stated(figure: str) -> str:
    """Return the paper's numbers for a figure, and where it disagrees with itself about them.

    Empty if its text states none.
    """
    if figure not in STATED:
        return ""
    with NUMBERS.open(encoding="utf-8", newline="") as lines:
        known = {row["key"]: row for row in csv.DictReader(lines)}
    said = [f"{text} {_number(known[key])}" for key, text in STATED[figure].items()]
    remarks = dict.fromkeys(filter(None, (known[key]["remark"] for key in STATED[figure])))
    return " ".join([f"In the paper, on its own data: {', '.join(said)}.", *remarks])


def _number(row: dict[str, str]) -> str:
    value = float(row["stated"])
    text = f"{value:,.0f}" if value >= 1000 else row["stated"]
    unit = {"p": " percentage points", "%": " %"}.get(row["unit"][:1], "")
    return _SIGNS.get(row["relation"], "") + text + unit
