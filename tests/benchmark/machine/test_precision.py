"""Networks compute in the requested precision, and torch's settings are restored."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from benchmark.machine.precision import Precision, default_precision, in_precision


@pytest.mark.parametrize(
    ("precision", "rounds", "kind"),
    [("float32", False, "float32"), ("tf32", True, "float32"), ("bfloat16", True, "bfloat16")],
)
@pytest.mark.parametrize("before", [False, True])
def test_it_holds_inside_alone(
    precision: Precision, rounds: bool, kind: str, before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", before)
    network, image = nn.Conv2d(1, 1, 3), torch.ones(1, 1, 5, 5)
    with in_precision(precision, "cpu"):
        assert torch.backends.cudnn.allow_tf32 == rounds
        assert network(image).dtype == getattr(torch, kind)
    assert torch.backends.cudnn.allow_tf32 == before
    assert network(image).dtype == torch.float32
    with pytest.raises(ZeroDivisionError), in_precision(precision, torch.device("cpu")):
        _ = 1 / 0
    assert torch.backends.cudnn.allow_tf32 == before


@pytest.mark.parametrize("before", ["highest", "high", "medium"])
@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_products_of_matrices_are_not_rounded_in_float32(
    precision: Precision, before: str, products: None
) -> None:
    """In NVIDIA's containers the environment asks for the same as ``high``."""
    torch.set_float32_matmul_precision(before)
    with in_precision(precision, "cpu"):
        kept = torch.get_float32_matmul_precision()
        assert kept == ("highest" if precision == "float32" else before)
        assert torch.backends.cuda.matmul.allow_tf32 == (kept != "highest")
    assert torch.get_float32_matmul_precision() == before
    with pytest.raises(ZeroDivisionError), in_precision(precision, "cpu"):
        _ = 1 / 0
    assert torch.get_float32_matmul_precision() == before


@pytest.fixture
def products() -> Iterator[None]:
    """What torch multiplies matrices in is left as it was."""
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


def test_a_method_without_a_word_takes_the_fastest() -> None:
    assert [default_precision(device) for device in ("cpu", "cuda", "cuda:1")] == [
        "float32",
        "bfloat16",
        "bfloat16",
    ]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch sees")
def test_float32_is_float32_on_a_gpu() -> None:
    """Against the same sums in float64; TensorFloat-32 is off by about 1e-4 of them."""
    torch.manual_seed(0)
    network, image = nn.Conv2d(64, 64, 3).cuda(), torch.randn(2, 64, 32, 32, device="cuda")
    with torch.inference_mode(), in_precision("float32", "cuda"):
        found = network(image)
        exact = network.double()(image.double())
    assert (found - exact).abs().max() < 1e-5 * exact.abs().max()
