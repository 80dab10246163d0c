"""Two real scans as local datasets, from image to report: PAM, classical methods, controls."""

from pathlib import Path

import pytest
import yaml

from benchmark import metrics
from tests.workflow.conftest import ROOT, Workplace

REAL = (ROOT.parent / "shared" / "real").resolve()
PAM = {"pam-2dmask": "mask2d", "pam-2dbox": "box2d"}
METHODS = {
    **PAM,
    "region-growth": "mask2d",
    "flow-propagation": "mask2d",
    "copy-mask": "mask2d",
    "ellipsoid": "box3d",
    "box-fill": "box3d",
    "empty": "box2d",
    "oracle": "mask2d",
}

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not REAL.is_dir(), reason=f"the real scans are not at {REAL}"),
]


def test_real_scans_from_image_to_report(tmp_path: Path) -> None:
    place = Workplace(tmp_path)
    for name, modality in (("ct", "CT"), ("mr", "MR")):
        for kind in ("image", "labels"):
            link = tmp_path / name / kind / "abdomen.nii.gz"
            link.parent.mkdir(parents=True)
            link.symlink_to(REAL / name / f"{kind}.nii.gz")
        entry = {
            "id": name,
            "name": f"Real {modality}",
            "split": "local",
            "modality": modality,
            "source": {"kind": "local", "path": name},
            "layout": {"image": "image/{scan}.nii.gz", "label": "labels/{scan}.nii.gz"},
            "labels": yaml.safe_load((REAL / name / "labels.yaml").read_text(encoding="utf-8")),
        }
        place.write(f"{name}.yaml", entry)
    methods = {name: {"adapter": name, "prompt": prompt} for name, prompt in METHODS.items()}
    for name in PAM:
        methods[name]["weights"] = "pam-small"
    study = place.study("real", datasets=["ct.yaml", "mr.yaml"], methods=methods)
    run = place.run(study)
    assert run.returncode == 0, run.stdout + run.stderr

    scores = place.scores("real")
    assert set(scores["status"]) == {"ok"}
    structures = scores[scores["level"] == "structure"]
    assert structures.groupby(["dataset", "method"]).size().unstack().to_dict("index") == {
        "ct": dict.fromkeys(METHODS, 41),
        "mr": dict.fromkeys(METHODS, 23),
    }
    means = structures.groupby(["dataset", "method"])["dsc"].mean().unstack()
    print(means.round(3).to_string())
    for dataset in ("ct", "mr"):
        mean = means.loc[dataset]
        assert mean["oracle"] == 1
        assert mean["empty"] == 0
        assert mean[["region-growth", "flow-propagation"]].min() > mean["box-fill"]
        assert mean["pam-2dmask"] > mean["copy-mask"]
        assert mean["pam-2dbox"] > mean["box-fill"]
    assert set(metrics.METRICS) <= set(scores.columns)
