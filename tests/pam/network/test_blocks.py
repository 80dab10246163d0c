"""The attention against torch's own multi-head attention."""

import torch
from torch import nn

from pam.network.blocks import CrossAttention


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
