import pytest
import torch
from torch import nn
from torchvision.models.convnext import LayerNorm2d as TorchvisionLayerNorm2d

from skjointprune._layers.norms import GroupNorm, LayerNorm, LayerNorm2d, RMSNorm

GIVEN = {
    "LayerNorm": (LayerNorm, lambda: nn.LayerNorm(6)),
    "LayerNorm, no shift": (LayerNorm, lambda: nn.LayerNorm(6, eps=0.1, bias=False)),
    "LayerNorm, plain": (
        LayerNorm,
        lambda: nn.LayerNorm(6, elementwise_affine=False),
    ),
    "LayerNorm2d": (LayerNorm2d, lambda: TorchvisionLayerNorm2d(6)),
    "GroupNorm": (GroupNorm, lambda: nn.GroupNorm(1, 6)),
    "GroupNorm, plain": (GroupNorm, lambda: nn.GroupNorm(1, 6, affine=False)),
    "RMSNorm": (RMSNorm, lambda: nn.RMSNorm(6)),
    "RMSNorm, eps": (RMSNorm, lambda: nn.RMSNorm(6, eps=0.1)),
    "RMSNorm, plain": (RMSNorm, lambda: nn.RMSNorm(6, elementwise_affine=False)),
}


def made(name):
    """Return a layer of torch, the same of ours, and what these are to normalise."""
    kind, make = GIVEN[name]
    given = make().double()
    with torch.no_grad():
        for p in given.parameters():
            p.normal_()
    images = issubclass(kind, LayerNorm2d | GroupNorm)
    X = torch.randn(5, 6, 4, 3) if images else torch.randn(5, 4, 6)
    return given, kind.of(given), X.double() + 1


@pytest.mark.parametrize("name", GIVEN)
def test_it_gives_the_outputs_of_torch(name):
    given, same, X = made(name)
    torch.testing.assert_close(same(X), given(X))


@pytest.mark.parametrize("name", GIVEN)
def test_without_zeroed_channels_it_gives_the_same_outputs(name):
    given, small, X = made(name)
    dim = 1 if isinstance(small, LayerNorm2d | GroupNorm) else -1
    kept = torch.tensor([0, 2, 3])
    X = X.index_fill(dim, torch.tensor([1, 4, 5]), 0)
    small.width = 3
    for tensor in ("weight", "bias"):
        if getattr(small, tensor) is not None:
            setattr(small, tensor, nn.Parameter(getattr(given, tensor)[kept]))
    X.requires_grad_()
    part = X.detach().index_select(dim, kept).requires_grad_()
    expected = given(X).index_select(dim, kept)
    got = small(part)
    torch.testing.assert_close(got, expected)
    direction = torch.randn_like(got)
    (got * direction).sum().backward()
    (expected * direction).sum().backward()
    torch.testing.assert_close(part.grad, X.grad.index_select(dim, kept))


@pytest.mark.parametrize("kind", [LayerNorm, GroupNorm, RMSNorm])
def test_a_mean_far_from_zero_costs_no_precision(kind):
    X = 1000 + torch.randn(20, 6)
    small = kind(6, 8, 1e-5, scale=True, shift=False)
    torch.testing.assert_close(small(X), small.double()(X.double()).float())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", [LayerNorm, GroupNorm, RMSNorm])
def test_few_digits_are_enough(kind, dtype):
    X = 300 * torch.randn(20, 6)  # a square does not fit into float16
    small = kind(6, 8, 1e-5, scale=True, shift=False)
    got = small.to(dtype)(X.to(dtype))
    assert got.dtype == dtype
    torch.testing.assert_close(got.float(), small.float()(X), rtol=0.02, atol=0.02)


def test_it_says_its_size():
    layer = LayerNorm.of(nn.LayerNorm(6))
    layer.width = 4
    assert repr(layer) == "LayerNorm(4, over=6, eps=1e-05, scale=True, shift=True)"


@pytest.mark.parametrize("kind", [LayerNorm, GroupNorm, RMSNorm])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_under_autocast_the_type_does_not_change_when_channels_go(kind, dtype):
    X = torch.randn(20, 6).to(dtype)
    whole = kind(6, 6, 1e-5, scale=True, shift=False)
    small = kind(4, 6, 1e-5, scale=True, shift=False)
    with torch.autocast("cpu", torch.bfloat16):
        assert small(X[:, :4]).dtype == whole(X).dtype


def test_images_keep_their_layout():
    X = torch.randn(2, 4, 5, 3).to(memory_format=torch.channels_last)
    out = GroupNorm(4, 6, 1e-5, scale=True, shift=True)(X)
    assert out.is_contiguous(memory_format=torch.channels_last)
