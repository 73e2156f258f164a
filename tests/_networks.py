"""Networks with weights drawn at random, and random cuts of their channels."""

import torch
from torch import nn

from skjointprune._graph.compact import compact_, zero_groups_
from skjointprune._graph.groups import find_groups


class Net(nn.Module):
    """Layers by name, and a function of them and of the rows."""

    def __init__(self, forward, **layers):
        super().__init__()
        self.run = forward
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x):
        return self.run(self, x)


class Residual(nn.Module):
    """A layer whose outputs are added to its inputs, and a head."""

    def __init__(self, n_features_in, n_outputs):
        super().__init__()
        self.body = nn.Linear(n_features_in, n_features_in)
        self.head = nn.Linear(n_features_in, n_outputs)

    def forward(self, X):
        return self.head(X + self.body(X))


def shaken(module):
    """Draw every parameter and running statistic anew, so that none is 0 or 1."""
    with torch.no_grad():
        for name, t in module.state_dict().items():
            if t.is_floating_point():
                t.copy_(
                    torch.rand_like(t) + 0.5 if "var" in name else torch.randn_like(t)
                )
    return module.eval()


def random_masks(network, share=0.6):
    """Keep about a share of the channels that may go, at least one of each set."""
    keep = {}
    for channels in network.channels:
        if not channels.pinned:
            mask = torch.rand(channels.size) < share
            mask[torch.randint(channels.size, ())] = True
            keep[channels.name] = mask
    return keep


def compact(network, keep):
    """Return the compact network, and leave the one given as it is."""
    small = network.copy()
    compact_(small, keep)
    return small


def cut(network, keep):
    """Return the compact network, and how far its outputs are from the zeroed one's.

    Relative to the largest output; the network given is the zeroed one from then on.
    """
    small = compact(network, keep)
    zero_groups_(network, keep)
    dtype = next(network.module.parameters()).dtype
    X = left = torch.randn(3, *network.input_shape, dtype=dtype)
    if "inputs" in keep:
        kept = keep["inputs"].nonzero().flatten()
        left = X.index_select(network.input_dim, kept)
    with torch.no_grad():
        expected, got = network.module.eval()(X), small.module.eval()(left)
    assert got.shape == expected.shape
    for channels in small.channels:
        if channels.name in keep:
            assert channels.size == int(keep[channels.name].sum())
    difference = (got - expected).abs().max() / expected.abs().max().clamp(min=1e-9)
    return small, float(difference)


def assert_cuts_are_exact(make, shape, tolerance=1e-10):
    """Cut networks at random, what is left again, and down to one of each."""
    for share in (0.6, 0.3, 0.0):
        network = find_groups(shaken(make().double()), shape)
        for _ in range(2):
            small, difference = cut(network, random_masks(network, share))
            assert difference < tolerance
            network = small
