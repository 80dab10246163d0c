"""The GPU benchmark, run on the CPU with a small network: its flows agree."""

import numpy as np
import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from pam.config import PropMaskConfig
from pam.network import PropMask
from tests.bench import bench_pam_gpu
from tests.bench.bench_pam import Case, recorded


@pytest.fixture(scope="module")
def network() -> PropMask:
    """Return a small network; not every seed gives a mask that is clear enough for bfloat16."""
    torch.manual_seed(1)
    return PropMask(PropMaskConfig(channels=4, stages=5, max_channels=16, attended=2)).eval()


@pytest.fixture(scope="module")
def case() -> Case:
    """Return five slices of the recorded volume."""
    whole = recorded()
    near = slice(whole.guide - 2, whole.guide + 3)
    return whole._replace(volume=whole.volume[near], truth=whole.truth[near], guide=2)


def test_flows_agree_and_are_told(network: PropMask, case: Case) -> None:
    rows = list(bench_pam_gpu.flows(network, case, number=2, rounds=1))
    assert [row[0] for row in rows] == list(bench_pam_gpu.FLOWS)
    assert rows[0][2] == "1.00"
    assert float(rows[1][-1]) > 0.999
    assert 0 < float(rows[1][-2]) < 1


def test_a_bfloat16_that_moves_the_dsc_is_no_result(
    network: PropMask, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {"released, bfloat16": bench_pam_gpu.FLOWS["rigorous"]}
    monkeypatch.setattr(
        bench_pam_gpu, "FLOWS", {"released": bench_pam_gpu.FLOWS["released"], **other}
    )
    with pytest.raises(SystemExit, match=r"DSC of released, bfloat16 is 0\.\d+, in float32 0"):
        list(bench_pam_gpu.flows(network, case, number=1, rounds=1))


def test_more_objects_in_a_larger_volume_are_told(network: PropMask, case: Case) -> None:
    shape = (11, 120, 110)
    rows = list(bench_pam_gpu.counts(network, case, (1, 3), rounds=1, shape=shape))
    assert [row[2] for row in rows] == ["1", "3"] * 3
    assert [row[1] for row in rows] == ["5 x 96 x 96"] * 4 + ["11 x 120 x 110"] * 2
    assert all(float(row[3]) > 0 for row in rows)


def test_a_larger_volume_holds_the_case(case: Case) -> None:
    whole = bench_pam_gpu.enlarged(case, (11, 120, 110))
    here = slice(3, 8), slice(12, 108), slice(7, 103)
    for large, small in ((whole.volume, case.volume), (whole.truth, case.truth)):
        np.testing.assert_array_equal(large[here], small)
        assert np.count_nonzero(large) == np.count_nonzero(small)
    assert whole.guide == 3 + case.guide
    np.testing.assert_array_equal(whole.prompt[here[1:]], case.prompt)
    assert whole.prompt.sum() == case.prompt.sum()


def test_the_forward_pass_does_not_cast_weights_each_time(network: PropMask) -> None:
    """Once for the timed passes, and once where their operations are counted."""
    weight = list(network.state_dict()["decoder.heads.3.weight"].shape)
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiled:
        rows = list(bench_pam_gpu.rates(network, guides=1, slices=2, side=64))
    assert all(float(row[-1]) > 0 for row in rows)
    casts = profiled.key_averages(group_by_input_shape=True)
    found = [x.count for x in casts if x.key == "aten::_to_copy" and x.input_shapes[0] == weight]
    assert len(found) == 1
    assert found[0] <= 2
