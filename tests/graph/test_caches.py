"""What code remembers outside the module holds no proxies after it was traced."""

import math
from functools import cache, lru_cache

import pytest
import torch
from _networks import assert_cuts_are_exact
from torch import nn

from skjointprune._graph.groups import find_groups

MASKS = {}


def remembered_mask(n):
    if n not in MASKS:
        MASKS[n] = torch.full((n, n), -math.inf).triu(1)
    return MASKS[n]


@lru_cache
def cached_mask(n):
    return torch.full((n, n), -math.inf).triu(1)


@cache
def first_parts(n_rows, n):
    """Return sizes of both, as a function that looks at shapes does."""
    return n_rows, 2, n // 2


class Attention(nn.Module):
    def __init__(self, mask):
        super().__init__()
        self.mask = mask
        self.embed, self.head = nn.Linear(1, 8), nn.Linear(8, 2)
        self.q, self.k, self.v = (nn.Linear(8, 8) for _ in range(3))

    @lru_cache  # noqa: B019
    def mask_of_layer(self, n):
        return torch.full((n, n), -math.inf).triu(1)

    def forward(self, x):
        x = self.embed(x[..., None])
        mask = (self.mask or self.mask_of_layer)(x.shape[1])
        scores = self.q(x) @ self.k(x).mT + mask
        return self.head((scores.softmax(-1) @ self.v(x)).mean(1))


@pytest.mark.parametrize("mask", [remembered_mask, cached_mask, None])
def test_a_cache_of_masks_serves_before_and_after(mask):
    network = Attention(mask)
    before = network(torch.ones(3, 6))
    for _ in range(2):
        assert find_groups(network, (6,)).kept_whole == {}
        torch.testing.assert_close(network(torch.ones(3, 6)), before)
        for cached in (cached_mask, Attention.mask_of_layer):
            cached.cache_clear()
        MASKS.clear()
        assert find_groups(network, (6,)).kept_whole == {}
        torch.testing.assert_close(network(torch.ones(3, 6)), before)
    assert {type(n) for n in MASKS} <= {int}


class Parts(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 8), nn.Linear(4, 2)

    def forward(self, x):
        x = self.a(x)
        return self.b(x.view(first_parts(*x.shape)).mean(1).relu())


def test_a_cache_of_shapes_does_not_decide():
    network = Parts()
    # of as many rows as are traced, so that their shape is remembered
    before = network(torch.ones(2, 6))
    assert find_groups(network, (6,)).kept_whole == {}
    torch.testing.assert_close(network(torch.ones(2, 6)), before)
    assert_cuts_are_exact(Parts, (6,))
