"""PropMask: sizes, switches, and how often each part is computed."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from pam.config import PropMaskConfig
from pam.network import PropMask

SMALL = PropMaskConfig(channels=4, stages=4, max_channels=16, attended=3)


def parameters(**config: Any) -> dict[str, int]:
    with torch.device("meta"):
        network = PropMask(PropMaskConfig(**config))
    return {name: p.numel() for name, p in network.named_parameters()}


def small(config: PropMaskConfig = SMALL) -> PropMask:
    torch.manual_seed(0)
    return PropMask(config)


def inputs(guides: int = 2, slices: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    mask = torch.rand(guides, 1, 32, 48) > 0.7
    return torch.randn(guides, 1, 32, 48), mask, torch.randn(guides, slices, 1, 32, 48)


@pytest.mark.parametrize(
    ("attended", "millions"), [(3, 32.417), (4, 32.482602), (5, 32.499)]
)  # as counted in the released code with these settings
def test_parameters(attended: int, millions: float) -> None:
    total = sum(parameters(attended=attended).values())
    assert total / 1e6 == pytest.approx(millions, abs=5e-4)


def test_the_papers_size() -> None:
    counts = parameters()
    by_part: dict[str, int] = {}
    for name, count in counts.items():
        part = name.partition(".")[0]
        by_part[part] = by_part.get(part, 0) + count
    assert sum(counts.values()) == 32_482_602
    assert by_part == {
        "encoder": 9_437_280,
        "mask_encoder": 9_437_280,
        "decoder": 11_181_802,
        "attentions": 2_426_240,
    }


def test_a_shared_mask_encoder_removes_the_encoder_of_its_own_and_nothing_else() -> None:
    separate, shared = parameters(), parameters(mask_encoder="shared")
    assert {n: c for n, c in separate.items() if not n.startswith("mask_encoder.")} == shared


@torch.inference_mode()
def test_a_shared_mask_encoder_is_the_images() -> None:
    separate, shared = small(), small(SMALL.model_copy(update={"mask_encoder": "shared"}))
    shared.load_state_dict(separate.state_dict(), strict=False)
    assert separate.mask_encoder is not None
    assert not torch.equal(shared(*inputs())[0], separate(*inputs())[0])
    separate.mask_encoder.load_state_dict(separate.encoder.state_dict())
    assert torch.equal(shared(*inputs())[0], separate(*inputs())[0])


@pytest.mark.parametrize("attended", range(5))
def test_the_scales_change_the_attentions_and_nothing_else(attended: int) -> None:
    """R1 to R4: the attentions of the coarsest stages, each with 4 C^2 + C parameters."""
    every, some = parameters(attended=6), parameters(attended=attended)
    widths = (32, 64, 128, 256, 512, 512)[6 - attended :]
    attentions = sum(c for n, c in some.items() if n.startswith("attentions."))
    assert attentions == sum(4 * c * c + c for c in widths)
    assert {n: c for n, c in some.items() if not n.startswith("attentions.")} == {
        n: c for n, c in every.items() if not n.startswith("attentions.")
    }


@torch.inference_mode()
@pytest.mark.parametrize("attended", [0, 1, 3])
def test_the_mask_matters_if_any_scale_is_attended(attended: int) -> None:
    network = small(SMALL.model_copy(update={"attended": attended}))
    image, mask, adjacent = inputs()
    same = torch.equal(network(image, mask, adjacent)[0], network(image, ~mask, adjacent)[0])
    assert same == (attended == 0)


@torch.inference_mode()
@pytest.mark.parametrize("chunk", [1, 2, 5, 9])
def test_chunks_change_nothing(chunk: int) -> None:
    network = small()
    for got, whole in zip(network(*inputs(), chunk), network(*inputs()), strict=True):
        torch.testing.assert_close(got, whole, rtol=0, atol=1e-5)


@torch.inference_mode()
def test_each_slice_answers_to_its_own_guide_alone() -> None:
    network = small()
    image, mask, adjacent = inputs()
    together = network(image, mask, adjacent)
    assert [x.shape for x in together] == [(2, 5, 2, 32 >> i, 48 >> i) for i in range(3)]
    for b in range(2):
        for n in range(5):
            one = slice(b, b + 1)
            alone = network(image[one], mask[one], adjacent[one, n : n + 1])
            for scale, whole in zip(alone, together, strict=True):
                torch.testing.assert_close(scale[0, 0], whole[b, n], rtol=0, atol=1e-5)


@torch.inference_mode()
def test_the_guide_is_encoded_once_and_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    network = small()
    assert network.mask_encoder is not None
    batches: dict[str, list[int]] = {"image": [], "mask": []}
    network.encoder.register_forward_hook(lambda _, x, y: batches["image"].append(len(x[0])))
    network.mask_encoder.register_forward_hook(lambda _, x, y: batches["mask"].append(len(x[0])))
    seen: list[tuple[torch.Tensor, ...]] = []
    attention = F.scaled_dot_product_attention

    def spy(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        seen.append((queries, keys, values))
        return attention(queries, keys, values)

    monkeypatch.setattr(F, "scaled_dot_product_attention", spy)
    image, mask, adjacent = inputs()
    guide = network.encode_guide(image, mask)
    assert batches == {"image": [2], "mask": [2]}

    network.decode(adjacent, guide, chunk=2)

    assert batches == {"image": [2, 4, 4, 2], "mask": [2]}  # of 2 guides: 2, 2 and 1 slices each
    for i, (queries, keys, values) in enumerate(seen):
        own_keys, own_values = guide[2 * (i % 3) : 2 * (i % 3) + 2]
        assert (keys.data_ptr(), values.data_ptr()) == (own_keys.data_ptr(), own_values.data_ptr())
        pixels, slices = (32 * 48) >> 2 * (i % 3 + 1), (2, 2, 1)[i // 3]
        assert keys.shape == values.shape == (2, 1, pixels, keys.shape[3])
        assert queries.shape == (2, 1, slices * pixels, keys.shape[3])


@pytest.mark.parametrize("mask_encoder", ["separate", "shared"])
def test_every_parameter_is_trained(mask_encoder: str) -> None:
    network = small(SMALL.model_copy(update={"mask_encoder": mask_encoder}))
    sum((x * torch.randn_like(x)).sum() for x in network(*inputs())).backward()
    untouched = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not untouched


def test_shapes_that_do_not_fit() -> None:
    network = small()
    image, mask, adjacent = inputs()
    with pytest.raises(ValueError, match="multiples of 8, and at least 16"):
        network.encode_guide(image[..., :44], mask[..., :44])
    with pytest.raises(ValueError, match="at least 16"):
        network.encode_guide(image[..., :8], mask[..., :8])
    for wrong in ((image, mask[:1]), (torch.cat((image, image), dim=1), mask)):
        with pytest.raises(ValueError, match="differ"):
            network.encode_guide(*wrong)
    guide = network.encode_guide(image, mask)
    two = torch.cat((adjacent, adjacent), dim=2)
    for slices in (adjacent[:1], adjacent[:, :0], adjacent[:, 0], two):
        with pytest.raises(ValueError, match=r"expected \[2, N, 1, H, W\]"):
            network.decode(slices, guide)
    with pytest.raises(ValueError, match="multiples of 8"):
        network.decode(adjacent[..., :44], guide)


def test_a_prior_sees_the_guide_at_the_same_place_and_its_distance() -> None:
    torch.manual_seed(0)
    config = PropMaskConfig(channels=4, stages=3, max_channels=8, attended=2, prior=True)
    network = PropMask(config).eval()
    image, mask = torch.rand(2, 1, 16, 16), (torch.rand(2, 1, 16, 16) > 0.5).float()
    adjacent, distance = torch.rand(2, 3, 1, 16, 16), torch.rand(2, 3)
    with torch.inference_mode():
        near = network(image, mask, adjacent, distance=distance)
        parts = network(image, mask, adjacent, chunk=1, distance=distance)
        far = network(image, mask, adjacent, distance=distance + 1)
        with pytest.raises(ValueError, match="distance of each slice"):
            network(image, mask, adjacent)
    for one, same, other in zip(near, parts, far, strict=True):
        assert torch.allclose(one, same, atol=1e-5)
        assert not torch.allclose(one, other, atol=1e-3)


@torch.inference_mode()
def test_two_guiding_slices_are_attended_as_one_wide_one() -> None:
    """By the formula of attention, in float64: softmax over the pixels of both."""
    network = small().double()
    image, mask, adjacent = (x.double() for x in inputs())
    earlier = torch.randn_like(image), torch.rand_like(image).round()
    seen: list[tuple[torch.Tensor, ...]] = []
    network.attentions[0].register_forward_hook(lambda _, x, y: seen.append((*x, y)))
    both = network(image, mask, adjacent, memory=earlier)

    x, _, _, got = seen[0]
    layer = network.attentions[0]
    first, second = (network.encode_guide(*pair)[:2] for pair in ((image, mask), earlier))
    keys, values = (torch.cat(parts, dim=2)[:, 0] for parts in zip(first, second, strict=True))
    queries = layer.query(x.flatten(2).mT.reshape(2, -1, x.shape[1]))  # type: ignore[operator]
    weights = torch.softmax(queries @ keys.mT / x.shape[1] ** 0.5, dim=-1)
    taken = layer.out(weights @ values)  # type: ignore[operator]
    torch.testing.assert_close(got, x + taken.reshape(len(x), -1, x.shape[1]).mT.reshape(x.shape))

    alone, twice = (network(image, mask, adjacent, memory=m) for m in (None, (image, mask)))
    for one, same, other in zip(alone, twice, both, strict=True):
        torch.testing.assert_close(one, same)
        assert not torch.allclose(one, other, atol=1e-3)


@torch.inference_mode()
def test_the_prior_of_two_guiding_slices_is_that_of_the_nearer_one() -> None:
    network = small(SMALL.model_copy(update={"prior": True}))
    image, mask, _ = inputs()
    guide, earlier = network.encode_guide(image, mask), network.encode_guide(-image, ~mask)
    together = network.remember(guide, earlier)
    assert len(together) == len(guide) == 2 * 3 + 4
    assert all(a is b for a, b in zip(together[6:], guide[6:], strict=True))


@torch.inference_mode()
def test_slices_may_be_normalised_as_their_guide() -> None:
    """By the formula, layer by layer; of two guides, each has its own."""
    network = small(SMALL.model_copy(update={"statistics": "guide"}))
    image, mask, adjacent = inputs()
    features, expected = image, adjacent[:, 2]
    for stage in network.encoder.stages:
        for block in stage:  # type: ignore[attr-defined]
            of_guide, of_slice = block.conv(features), block.conv(expected)
            mean = of_guide.mean(dim=(2, 3), keepdim=True)
            deviation = (of_guide.var(dim=(2, 3), keepdim=True, correction=0) + 1e-5).sqrt()
            features, expected = (
                F.leaky_relu(
                    F.conv2d((x - mean) / deviation, _diagonal(block.norm), block.norm.bias)
                )
                for x in (of_guide, of_slice)
            )
    seen: list[list[torch.Tensor]] = []
    network.encoder.register_forward_hook(lambda _, x, y: seen.append([*y]))
    network(image, mask, adjacent)
    guides, slices = seen
    torch.testing.assert_close(guides[-1], features, rtol=1e-4, atol=1e-5)
    third = slices[-1].reshape(2, 5, *slices[-1].shape[1:])[:, 2]
    torch.testing.assert_close(third, expected, rtol=1e-4, atol=1e-5)


def _diagonal(norm: torch.nn.InstanceNorm2d) -> torch.Tensor:
    return torch.diag(norm.weight)[..., None, None]


@torch.inference_mode()
def test_normalised_as_its_guide_a_slice_keeps_how_bright_it_is() -> None:
    """What the norm of the slice itself would take away; the guide's own slice is as before."""
    own = small(SMALL)
    network = small(SMALL.model_copy(update={"statistics": "guide"}))
    image, mask, _ = inputs()
    adjacent = torch.stack((image, 0.5 * image), dim=1)
    before, after = own(image, mask, adjacent), network(image, mask, adjacent)
    parts = network(image, mask, adjacent, chunk=1)
    for a, b, same in zip(before, after, parts, strict=True):
        torch.testing.assert_close(a[:, 0], b[:, 0], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(b, same, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(after[-1][:, 0], after[-1][:, 1], atol=1e-2)
    assert torch.allclose(before[-1][:, 0], before[-1][:, 1], atol=1e-2)
