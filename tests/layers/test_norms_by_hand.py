"""Normalisations that users write are known by what they compute."""

import pytest
import torch
from _networks import assert_cuts_are_exact
from torch import nn
from torch.nn import functional as F

from skjointprune import register_rule
from skjointprune._graph.groups import find_groups
from skjointprune._layers.norms import GroupNorm, LayerNorm, LayerNorm2d, RMSNorm
from skjointprune._layers.norms_by_hand import norm_alike


class Subclass(nn.LayerNorm):
    def forward(self, x):
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)


class Subclass2d(nn.LayerNorm):
    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class OneGroup(nn.GroupNorm):
    def __init__(self, width):
        super().__init__(1, width)

    def forward(self, x):
        return F.group_norm(x, 1, self.weight, self.bias, self.eps)


class OwnScale(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))


class Length(OwnScale):
    def forward(self, x):
        return self.scale * x / (x.pow(2).sum(-1, keepdim=True) + 1e-6).sqrt()


class RootMeanSquare(OwnScale):
    def forward(self, x):
        return self.scale * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5))


class Deviation(OwnScale):
    def __init__(self, width):
        super().__init__(width)
        self.shift = nn.Parameter(torch.zeros(width))

    def forward(self, x):
        x = (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-6)
        return self.scale * x + self.shift


class Response(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, 1, 1, width))
        self.beta = nn.Parameter(torch.zeros(1, 1, 1, width))

    def forward(self, x):
        response = torch.norm(x, p=2, dim=(1, 2), keepdim=True)
        share = response / (response.mean(dim=-1, keepdim=True) + 1e-6)
        return self.gamma * (x * share) + self.beta + x


class Noisy(RootMeanSquare):
    """A normalisation that does something else in training."""

    def forward(self, x):
        return super().forward(x) + self.training * torch.randn_like(x)


class ChannelsLast(nn.Module):
    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def forward(self, x):
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Halved(OwnScale):
    """Like a normalisation, but for a sum."""

    def forward(self, x):
        return self.scale * F.normalize(x, dim=-1) + x


def of_rows(norm):
    return nn.Sequential(nn.Linear(12, 16), norm(16), nn.Linear(16, 8), nn.Linear(8, 3))


def of_images(norm):
    return nn.Sequential(
        nn.Conv2d(3, 16, 3),
        norm(16),
        nn.Conv2d(16, 8, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 3),
    )


@pytest.mark.parametrize("norm", [Subclass, Length, RootMeanSquare, Deviation])
def test_channels_around_a_norm_of_rows_go_one_by_one(norm):
    assert not find_groups(of_rows(norm), (12,)).kept_whole
    assert_cuts_are_exact(lambda: of_rows(norm), (12,))


@pytest.mark.parametrize(
    "norm", [Subclass2d, OneGroup, lambda width: ChannelsLast(Response(width))]
)
def test_channels_around_a_norm_of_images_go_one_by_one(norm):
    assert not find_groups(of_images(norm), (3, 8, 8)).kept_whole
    assert_cuts_are_exact(lambda: of_images(norm), (3, 8, 8))


@pytest.mark.parametrize(
    ("norm", "kind"),
    [
        (Subclass, LayerNorm),
        (Subclass2d, LayerNorm2d),
        (OneGroup, GroupNorm),
        (RootMeanSquare, RMSNorm),
    ],
)
def test_the_one_that_stands_in_shares_the_parameters(norm, kind):
    given = norm(6)
    ours = norm_alike(given)
    assert type(ours) is kind
    assert {*map(id, ours.parameters())} == {*map(id, given.parameters())}


@pytest.mark.parametrize("layer", [Halved(6), Noisy(6), nn.PReLU(6)])
def test_what_computes_something_else_has_none(layer):
    assert norm_alike(layer) is None


def test_a_norm_that_has_a_rule_stays_as_it_is():
    def rule(layer, name, x, context):
        context.pin(x, "as the rule says")
        return x

    with register_rule(RootMeanSquare, rule):
        network = find_groups(of_rows(RootMeanSquare), (12,))
    assert type(network.module[1]) is RootMeanSquare
    assert "as the rule says" in network.kept_whole.values()
