"""Registry of the supplementary tables: the statistics they are made from, and their columns.

``number`` is the table's number in the paper's supplement, where the paper's text states it. The
workflow takes its inputs and outputs from this registry.
"""

from dataclasses import replace

from reports.columns import (
    DATASET,
    DIFFERENCE,
    EFFECT,
    HOLM,
    HOLM_CHOSEN,
    INTERVAL,
    MARKED,
    METHOD,
    METRIC,
    PAIR,
    PLACE,
    REASON,
    SPLIT,
    UNCORRECTED,
    N,
    P,
    Table,
    by_dataset,
    column,
    level_tests,
    levels,
)

_NO_DATA = "No dataset was prepared."
_NO_DEVIATIONS = "No method was run with a deviation of the guiding slice."
_NO_THICKNESS = "No method was run at more than one thickness."
_NO_READER = "No table of measured times for prompts (analysis.interaction)."
_NO_SCRATCH = "No model was trained from scratch (training.models, or analysis.runs)."
_NO_TRAINED = "No model was trained (training.models, or analysis.runs)."
_NO_FINETUNED = "No model was fine-tuned (training.models, or analysis.runs)."
_NO_ABLATION = "No ablation was run (training.ablations, or analysis.runs)."
_NO_COHORT = "No cohort with scans before and after treatment (analysis.cohorts)."

NORMALISATION = "normalisation"
"""Name of the ablation that corresponds to the paper's Tables S18 and S19."""
_DSC: dict[str, tuple[object, ...]] = {"metric": ("dsc",)}
_CELLS = ("matched", "expected")
_MATCHED = (
    "Means are over the held-back cells (a structure of a scan) that all compared runs have; (a/b) "
    "if these are a of b."
)
COSTS = (
    "Seconds and operations are means over the datasets, of the same timed objects. They grow with "
    "the network and with how far it propagates, so a setting whose masks end early costs less."
)
_ABLATION = Table(
    "",
    "ablation",
    (
        column("Ablation", "text", "ablation"),
        column("Setting", "text", "setting"),
        METHOD,
        column("Default setting", "text", "default"),
        column("DSC (SD of seeds)", "pm", "mean", "sd", "contaminated", *_CELLS),
    ),
    where=_DSC,
    across="dataset",
    marked=True,
    notes=(_MATCHED,),
    when_empty=_NO_ABLATION,
)

SUPPLEMENT: dict[str, Table] = {
    "fingerprint": Table(
        "Fingerprints of the datasets",
        "fingerprint",
        (
            *PLACE,
            column("Scans", "count", "scans"),
            column("Voxels (median of a scan)", "count", "voxels_median"),
            column("Size anisotropy", "number", "size_anisotropy"),
            column("Spacing anisotropy", "number", "spacing_anisotropy"),
            column("Object types", "count", "structures"),
            column("Objects", "count", "objects"),
        ),
        "S4",
        when_empty=_NO_DATA,
    ),
    "object_types": Table(
        "Objects by type and dataset",
        "object_types",
        (
            *PLACE,
            column("Structure", "text", "structure"),
            column("Objects", "count", "objects"),
            column("Scans", "count", "scans"),
            column("Volume (mm³, median)", "short", "volume_mm3_median"),
        ),
        when_empty=_NO_DATA,
    ),
    "training_samples": Table(
        "Samples for Box2Mask and tasks for PropMask",
        "training_samples",
        (
            *PLACE,
            column("Part", "text", "part"),
            column("Scans", "count", "scans"),
            column("Objects", "count", "objects"),
            column("Samples", "count", "samples"),
            column("Tasks", "count", "tasks"),
        ),
        "S2, S3",
        notes=(
            "One task is counted per object with a slice of over 100 pixels: the paper does not "
            "say how it chose guiding slices, so these are not the tasks of its Table S3.",
        ),
        when_empty=_NO_DATA,
    ),
    "averages": Table(
        "Averages over the datasets",
        "overall",
        (
            SPLIT,
            METRIC,
            MARKED,
            column("Mean ± SD", "pm", "mean", "sd"),
            INTERVAL,
            N,
            column("Datasets", "count", "datasets"),
            column("Cells with a value", "count", "cells"),
            column("Expected", "count", "expected"),
        ),
        marked=True,
    ),
    "supervised": Table(
        "DSC on the datasets of methods that learn from each",
        "ranks_by_dataset",
        (*PLACE, column("DSC", "share", "value", "cells", "expected", "contaminated")),
        "S6",
        {"metric": ("dsc",)},
        "method",
        marked=True,
        notes=(
            "Means are over the cells of a dataset that all its methods have, which such a method "
            "did not learn from; (a/b) if these are a of b.",
        ),
        when_empty="No method that learns from each dataset has a score.",
        beside=("prompt", "structure"),
    ),
    "sensitivity_by_dataset": by_dataset("Sensitivity", "S7-S11", metric=("sensitivity",)),
    "specificity_by_dataset": by_dataset("Specificity", "S7-S11", metric=("specificity",)),
    "nsd_by_dataset": by_dataset("NSD", "S7-S11", metric=("nsd",)),
    "hd95_by_dataset": by_dataset("HD95 (mm)", "S7-S11", "mm", metric=("hd95",)),
    "asd_by_dataset": by_dataset("ASD (mm)", "S7-S11", "mm", metric=("asd",)),
    "same_box": replace(
        by_dataset("DSC under the same 3D box", "S17", metric=("dsc",), prompt=("box3d",)),
        notes=("Supervised methods as a reference, over the cells that all have: Table S6.",),
    ),
    "comparison": Table(
        "Paired comparison of the methods over datasets: DSC",
        "comparison",
        (
            SPLIT,
            *PAIR,
            N,
            column("Cells", "of", "cells", "expected"),
            column("Failed", "of", "failed_a", "failed_b"),
            column("Difference", "signed", "difference"),
            INTERVAL,
            column("Test", "text", "test"),
            P,
            HOLM_CHOSEN,
            *EFFECT,
            REASON,
        ),
        where={"metric": ("dsc",), "chosen": (True,), "unit": ("dataset",)},
        marked=True,
        notes=(
            "Cells: those with a score of both, of those expected. Failed: by Method/by Against. "
            "What a method failed does not count against it.",
            DIFFERENCE,
        ),
    ),
    "times_by_dataset": Table(
        "Seconds from reading the scan to the result of an object, by dataset",
        "times_by_dataset",
        (
            DATASET,
            column("Device", "text", "device"),
            column("Seconds", "timed", "seconds", "objects"),
        ),
        "S12",
        {"phase": ("total",)},
        "method",
        notes=("Mean seconds, with the number of objects in parentheses.",),
        when_empty="No times were taken.",
    ),
    "times_tests": Table(
        "Tests of the seconds from reading the scan to the result",
        "times_tests",
        (
            column("Method", "text", "method_a"),
            column("Device", "text", "device_a"),
            column("Against", "text", "method_b"),
            column("Device", "text", "device_b"),
            column("Unit", "text", "unit"),
            N,
            column("Matched by", "text", "matched_by"),
            column("Matches", "count", "matches"),
            column("Ratio", "short", "ratio"),
            column("Test", "text", "test"),
            P,
            HOLM,
            REASON,
        ),
        "S13",
        {"phase": ("total",)},
        notes=("Means of a dataset are over what was timed with both methods (the matches).",),
        when_empty="No times of two methods were taken.",
    ),
    "prompt_times": Table(
        "Seconds for a prompt",
        "interaction",
        (
            column("Prompt", "text", "prompt"),
            N,
            column("Mean ± SD", "pm", "mean", "sd"),
            column("Median", "number", "median"),
            column("Generated", "text", "generated"),
        ),
        "S14",
        when_empty=_NO_READER,
    ),
    "prompt_time_tests": Table(
        "Tests of the seconds for a prompt",
        "interaction_tests",
        (
            column("Prompt", "text", "prompt_a"),
            column("Against", "text", "prompt_b"),
            column("Reduction (%)", "percent", "reduction_percent"),
            column("Test", "text", "test"),
            P,
            HOLM,
            column("Generated", "text", "generated"),
            REASON,
        ),
        "S14",
        when_empty=_NO_READER,
    ),
    "stability": levels(
        "DSC by absolute deviation of the guiding slice (share of the object's slices)",
        *("stability_values", "S15", _NO_DEVIATIONS),
    ),
    "stability_tests": level_tests(
        "Tests of stability under deviation", "stability_tests", "S15", _NO_DEVIATIONS
    ),
    "thickness": levels(
        "DSC by thickness of the propagation (mm)", "thickness_values", "S16", _NO_THICKNESS
    ),
    "thickness_tests": level_tests(
        "Tests of stability under thickness", "thickness_tests", "S16", _NO_THICKNESS
    ),
    "regularity": Table(
        "Change of DSC and regularity of the object, over structures",
        "regularity",
        (
            METHOD,
            column("Against", "text", "reference"),
            column("Dimension", "text", "dimension"),
            column("Shape", "text", "shape"),
            column("Correlation", "text", "correlation"),
            N,
            column("Collections", "count", "clusters"),
            column("r", "signed", "r"),
            INTERVAL,
            P,
            column("P (independent)", "p", "p_independent"),
            REASON,
        ),
        where={"unit": ("structure",), "modality": ("all",)},
        notes=(
            "Intervals and P are from draws of collections of datasets. P (independent) takes all "
            "structures for independent, as in the paper.",
            UNCORRECTED,
        ),
        when_empty="No pair of methods to compare (analysis.reference).",
    ),
    "ranking": Table(
        "Ranks of the methods by DSC",
        "ranking",
        (
            SPLIT,
            column("Scheme", "text", "scheme"),
            MARKED,
            column("Value", "number", "value"),
            column("Rank", "text", "rank"),
            INTERVAL,
            column("Share of first ranks", "number", "first_share"),
            column("Rank, failures as worst", "text", "rank_worst"),
            column("Datasets", "count", "datasets"),
            column("Cells", "of", "cells", "expected"),
            column("Failed", "count", "failed"),
            REASON,
        ),
        where={"metric": ("dsc",)},
        marked=True,
        notes=(
            "Value and rank are over the cells in which every ranked method has a score, so a "
            "value differs from the average of a method that has more, and what a method failed "
            "does not count against it. Rank, failures as worst: failed cells have a DSC of 0.",
        ),
    ),
    "survival": Table(
        "Survival by change of the tumour",
        "survival_tests",
        (
            column("Cohort", "text", "cohort"),
            METHOD,
            column("Measure", "text", "measure"),
            column("n/patients", "of", "n", "patients"),
            column("Events", "count", "events"),
            column("Log-rank P", "p", "logrank_p"),
            column("Hazard ratio (per SD)", "number", "hazard_ratio"),
            column(INTERVAL.heading, "interval", "hr_low", "hr_high"),
            column("Concordance", "number", "concordance"),
            REASON,
        ),
        notes=(
            "Hazard ratios, with their interval, are per standard deviation of the change.",
            "n: patients with all three changes, a time and an event. Whether one is missing "
            "may itself depend on the outcome.",
            UNCORRECTED,
        ),
        when_empty=_NO_COHORT,
    ),
    "recovery": Table(
        "Recovery (%) by training from scratch on one dataset: DSC, tested on each",
        "recovery",
        (
            METHOD,
            column("Trained on", "text", "trained_on"),
            column("Recovery", "percent", "recovery_percent", "contaminated", *_CELLS),
        ),
        where={"metric": ("dsc",)},
        across="tested_on",
        marked=True,
        notes=(_MATCHED,),
        when_empty=_NO_SCRATCH,
    ),
    "transfer": Table(
        "Models trained or fine-tuned on one dataset: DSC, tested on each",
        "transfer",
        (
            METHOD,
            column("Model", "text", "kind"),
            column("Trained on", "text", "trained_on"),
            column("DSC", "number", "mean", "contaminated", *_CELLS),
        ),
        where={"metric": ("dsc",)},
        across="tested_on",
        marked=True,
        notes=(_MATCHED,),
        when_empty=_NO_TRAINED,
    ),
    "finetuning": Table(
        "Fine-tuning: DSC by dataset",
        "finetuning",
        (
            DATASET,
            METHOD,
            column("General", "number", "general", "contaminated_general", *_CELLS),
            column(
                "Fine-tuned (SD of seeds)",
                "pm",
                *("finetuned", "finetuned_sd", "contaminated_finetuned"),
                *("matched_finetuned", "expected"),
            ),
            column("Seeds", "count", "runs"),
            column("Gain", "signed", "gain"),
            column("Reference", "text", "reference"),
            column(
                "DSC of the reference",
                "number",
                *("reference_value", "contaminated_reference", "matched_reference", "expected"),
            ),
            column("Gain over it", "signed", "gain_over_reference"),
        ),
        "S22",
        {"metric": ("dsc",)},
        marked=True,
        notes=(_MATCHED,),
        when_empty=_NO_FINETUNED,
    ),
    "finetuning_tests": Table(
        "Tests of the gain by fine-tuning: DSC",
        "finetuning_tests",
        (
            METHOD,
            column("Comparison", "text", "comparison"),
            column("Reference", "text", "reference"),
            N,
            column("Difference", "signed", "difference"),
            INTERVAL,
            column("Test", "text", "test"),
            P,
            *EFFECT,
            REASON,
        ),
        where={"metric": ("dsc",), "chosen": (True,)},
        marked=True,
        notes=(DIFFERENCE, UNCORRECTED),
        when_empty=_NO_FINETUNED,
    ),
    "ablation_normalisation": replace(
        _ABLATION,
        title="Dynamic normalisation against fixed windows: DSC by dataset",
        number="S19",
        where={**_DSC, "ablation": (NORMALISATION,)},
    ),
    "ablation_architecture": replace(
        _ABLATION,
        title="Other ablations (guiding mask, mask encoder, scales): DSC by dataset",
        number="S20-S21",
        leaves_out={"ablation": (NORMALISATION,)},
    ),
    "ablation_overall": Table(
        "Ablations: mean DSC over datasets, its spread over seeds, cost of an object",
        "ablation_overall",
        (
            column("Ablation", "text", "ablation"),
            column("Setting", "text", "setting"),
            METHOD,
            column("DSC (SD of seeds)", "pm", "mean", "sd_runs", "contaminated", *_CELLS),
            column("Seeds", "count", "runs"),
            column("Datasets", "count", "datasets"),
            column("Seconds", "short", "seconds"),
            column("Operations", "short", "flops"),
            column("Parameters", "count", "parameters"),
            column("Timed objects", "count", "objects"),
        ),
        where=_DSC,
        marked=True,
        notes=(_MATCHED, COSTS),
        when_empty=_NO_ABLATION,
    ),
    "ablation_tests": Table(
        "Tests of the ablations: DSC",
        "ablation_tests",
        (
            column("Ablation", "text", "ablation"),
            METHOD,
            column("Test", "text", "test"),
            column("Settings", "count", "groups"),
            N,
            P,
            column("Default setting", "text", "default"),
            column("Best on", "count", "wins_of_default"),
            REASON,
        ),
        where={"metric": ("dsc",)},
        notes=(UNCORRECTED,),
        when_empty=_NO_ABLATION,
    ),
    "lost_runs": Table(
        "Training runs without a score for some held-back cells, and why",
        "lost_runs",
        (
            column("Kind", "text", "kind"),
            METHOD,
            column("Ablation", "text", "ablation"),
            column("Setting", "text", "setting"),
            column("Trained on", "text", "trained_on"),
            column("Tests", "count", "runs"),
            column("Cells with a score", "of", "ok", "expected"),
            column("First reason", "text", "reason"),
        ),
        marked=True,
        notes=("Tests: by dataset and seed.",),
        when_empty="No training run lacks a score.",
    ),
}
"""Supplementary tables by file name without suffix."""

_MAIN = {"table1": "overall", "dsc_by_dataset": "by_dataset", "prompts": "overall"}
RECORDED = ("headline", "datasets", "failures", "windows")
"""Tables made from the record of the study; see `reports.record_tables`."""
NAMES = (*_MAIN, *RECORDED, *SUPPLEMENT)
"""All tables of a study, in order, by file name without suffix."""
SOURCES = tuple(dict.fromkeys([*_MAIN.values(), *(t.source for t in SUPPLEMENT.values())]))
"""The statistics tables that the tables are made from."""
