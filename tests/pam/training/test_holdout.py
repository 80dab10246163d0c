"""Scores on the hold-out."""

from itertools import islice

import torch

from pam.config import PropMaskConfig
from pam.network import PropMask
from pam.presets import RIGOROUS
from pam.training.holdout import examples, score


def test_single_slices_and_whole_objects_are_scored_in_float32() -> None:
    network = PropMask(PropMaskConfig(channels=4, stages=3, attended=1)).eval()
    seen: list[bool] = []
    network.decoder.register_forward_hook(lambda *_: seen.append(torch.backends.cudnn.allow_tf32))
    settings = RIGOROUS.model_copy(update={"size": 32})
    rows = score(network, settings, islice(examples(1), 1))
    assert {row["distance"] > 0 for row in rows} == {False, True}
    assert set(seen) == {False}
