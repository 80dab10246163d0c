"""The pretended GPU refuses what a real one refuses, and takes what that takes."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.pretended_gpu import PretendedGpu

MIXED: list[Callable[[Tensor, Tensor], object]] = [
    lambda here, there: there + here,
    lambda here, there: torch.cat((there, here)),
    lambda here, there: torch.stack([here, there]),
    lambda here, there: here[there.long()],
    lambda here, there: there.gather(0, here.long()),
    lambda here, there: nn.Linear(4, 4).to("cuda")(here),
    lambda here, there: nn.Linear(4, 4)(there),
    lambda here, there: there * torch.zeros(4),
    lambda here, there: there[:2].view(-1) + here[:2],
    lambda here, there: there.add_(here),
]


@pytest.mark.parametrize("mixed", MIXED)
def test_tensors_of_two_devices_are_refused(mixed: Callable[[Tensor, Tensor], object]) -> None:
    here = torch.ones(4)
    with PretendedGpu(), pytest.raises(RuntimeError, match="two devices"):
        mixed(here, here.to("cuda"))


@pytest.mark.parametrize("array", [Tensor.numpy, np.asarray])
def test_a_tensor_on_the_gpu_is_no_array(array: Callable[[Tensor], object]) -> None:
    with PretendedGpu():
        there = torch.ones(4, device="cuda")
        with pytest.raises(TypeError, match="not an array"):
            array(there)
        assert np.asarray(there.cpu()).sum() == 4


def test_what_is_computed_on_the_gpu_stays_there() -> None:
    with PretendedGpu() as gpu:
        network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.InstanceNorm2d(2, affine=True)).to("cuda:0")
        image = torch.rand(1, 1, 8, 8).to(torch.device("cuda"))
        made = [network(image), image.new_zeros(3), image[0, 0, :2], image.mT, *image.chunk(2, -1)]
        made += [torch.zeros_like(image), torch.arange(3, device=image.device), image.double()]
        assert all(x.is_cuda and x.device.type == "cuda" and gpu.holds(x) for x in made)
        here = [x.cpu() for x in made] + [torch.rand(3), torch.rand(3).to(torch.rand(2))]
        assert not any(x.is_cuda or x.device.type == "cuda" or gpu.holds(x) for x in here)
        assert (image * torch.tensor(2.0) + 1).is_cuda
        assert image[torch.tensor([0])].is_cuda
        made[1].copy_(torch.ones(3))
        assert made[1].tolist() == [1, 1, 1]
