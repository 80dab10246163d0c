"""Parameters, operations and memory of a method, against counts by hand."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmark.machine import compute_cost


class Method:
    def __init__(self) -> None:
        self.network = nn.Linear(10, 4, bias=False)
        self.parts = {"shared": [self.network, nn.Linear(4, 2)]}


def test_parameters_are_counted_once() -> None:
    assert compute_cost.parameters(Method()) == 40 + 4 * 2 + 2
    assert compute_cost.parameters(object()) is None


def test_operations_of_a_linear_map() -> None:
    network = nn.Linear(10, 4, bias=False)
    assert compute_cost.flops(lambda: network(torch.ones(3, 10))) == 2 * 3 * 10 * 4


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.inference_mode])
def test_operations_of_attention(mode: Callable[[], AbstractContextManager[None]]) -> None:
    """Each query with each key, and each weight with each value; once, whatever torch knows."""
    queries, keys, values = (torch.rand(2, 3, n, 8) for n in (40, 50, 50))
    with mode():
        counted = compute_cost.flops(lambda: F.scaled_dot_product_attention(queries, keys, values))
    assert counted == 2 * (2 * 3) * 40 * 50 * (8 + 8)


def test_without_torch_there_is_nothing_to_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch")
    assert compute_cost.parameters(Method()) is None
    assert compute_cost.flops(lambda: None) is None
    assert compute_cost.peak_gpu_mb("cuda") is None


@pytest.mark.parametrize(("held", "expected"), [(0, None), (3 * 2**20, 3.0)])
def test_a_gpu_that_torch_does_not_use_has_no_peak(
    held: int, expected: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: held)
    assert compute_cost.peak_gpu_mb("cuda") == expected
    assert compute_cost.peak_gpu_mb("cpu") is None


def test_peak_memory_grows_with_what_is_held() -> None:
    before = compute_cost.peak_memory_mb()
    held = bytearray(int((before + 100) * 2**20))
    held[:: 2**12] = b"x" * len(held[:: 2**12])
    assert compute_cost.peak_memory_mb() > before + 50


def test_the_memory_of_the_parent_is_not_counted() -> None:
    held = b"x" * (300 * 2**20)
    code = "from benchmark.machine.compute_cost import peak_memory_mb; print(peak_memory_mb())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 5 < float(told.stdout) < len(held) / 2**20
