"""The layers against torch's own."""

import pytest
import torch
from torch import Tensor, nn

from pam.network.blocks import Block, CrossAttention, Moments, Up


def test_attention_is_torchs_with_one_head() -> None:
    torch.manual_seed(0)
    ours, other = CrossAttention(8), nn.MultiheadAttention(8, 1, batch_first=True)
    with torch.no_grad():
        projections = (ours.query.weight, ours.key.weight, ours.value.weight)
        other.in_proj_weight.copy_(torch.cat(projections))
        other.in_proj_bias.zero_()
        other.out_proj.load_state_dict(ours.out.state_dict())
    image, mask = torch.randn(2, 2, 8, 3, 5)
    adjacent = 3 * torch.randn(2, 4, 8, 6, 2)

    got = ours(adjacent.flatten(0, 1), *ours.guide(image, mask)).unflatten(0, (2, 4))

    for b in range(2):
        keys, values = image[b].flatten(1).T[None], mask[b].flatten(1).T[None]
        for n in range(4):
            slice_ = adjacent[b, n]
            taken, _ = other(slice_.flatten(1).T[None], keys, values)
            torch.testing.assert_close(got[b, n], slice_ + taken[0].T.reshape(8, 6, 2))


def test_layers_are_torchs_in_value_and_gradient() -> None:
    """Those of the released code, to which ours are quicker ways."""
    torch.manual_seed(0)
    block, up = Block(3, 8), Up(8, 5)
    torch.nn.init.normal_(block.norm.weight)
    torch.nn.init.normal_(block.norm.bias)
    plain = nn.Sequential(block.conv, block.norm, nn.LeakyReLU(0.01))
    plain_up = nn.ConvTranspose2d(8, 5, 2, 2)
    plain_up.load_state_dict(up.state_dict())
    image = 5 * torch.randn(2, 3, 12, 20) + 100

    ours = up(block(image))
    expected = plain_up(plain(image))
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)
    pull = torch.randn_like(expected)
    gradients = [
        torch.autograd.grad(result, [*block.parameters(), *layer.parameters()], pull)
        for result, layer in ((ours, up), (expected, plain_up))
    ]
    for got, other in zip(*gradients, strict=True):
        torch.testing.assert_close(got, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("gradient", [False, True])
def test_a_map_made_larger_stands_beside_that_of_the_encoder(gradient: bool) -> None:
    torch.manual_seed(0)
    up, plain = Up(8, 5), nn.ConvTranspose2d(8, 5, 2, 2)
    plain.load_state_dict(up.state_dict())
    x, skip = torch.randn(2, 8, 6, 10), torch.randn(2, 3, 12, 20)
    with torch.set_grad_enabled(gradient):
        got = up.beside(x, skip)
        torch.testing.assert_close(got, torch.cat((plain(x), skip), dim=1))
    assert got.requires_grad == gradient


def test_moments_are_those_of_numpy_and_pass_gradients_on() -> None:
    torch.manual_seed(0)
    block = Block(1, 4)
    image = torch.randn(3, 1, 9, 11)
    moments = Moments()
    block(image, moments)
    values = block.conv(image).flatten(2)
    mean, deviation = moments.noted[:, 0].chunk(2, dim=1)
    expected = values.detach().numpy()
    torch.testing.assert_close(mean.detach(), torch.from_numpy(expected.mean(axis=2)))
    spread = torch.from_numpy((expected.var(axis=2) + block.norm.eps) ** 0.5)
    torch.testing.assert_close(deviation.detach(), spread)

    def pulled(mean: Tensor, deviation: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad((mean**2 + deviation**3).sum(), block.conv.weight)
        return gradient

    by_hand = (values.var(dim=2, correction=0) + block.norm.eps).sqrt()
    torch.testing.assert_close(pulled(mean, deviation), pulled(values.mean(dim=2), by_hand))
