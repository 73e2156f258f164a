import pytest
import torch
from _networks import assert_cuts_are_exact, cut, random_masks, shaken
from torch import nn

from skjointprune._graph.groups import find_groups
from skjointprune.modules import MLP, PeriodicEmbedding, PiecewiseEmbedding

KINDS = [PeriodicEmbedding, PiecewiseEmbedding]


@pytest.mark.parametrize("kind", KINDS)
def test_each_input_becomes_several_numbers_of_its_own(kind):
    layer = kind(3, width=4)
    X = torch.randn(5, 3)
    out = layer(X)
    assert out.shape == (5, 12)
    X[:, 1] += 1
    changed = (layer(X) != out).any(dim=0).view(3, 4).any(dim=1)
    assert changed.tolist() == [False, True, False]


@pytest.mark.parametrize("kind", KINDS)
def test_embeddings_are_finite_far_from_the_mean(kind):
    out = kind(2)(torch.tensor([[1e4, -1e4], [0.0, 5.0]]))
    assert out.isfinite().all()


def test_a_piecewise_code_says_how_far_a_number_is():
    layer = PiecewiseEmbedding(1, n_bins=4)
    codes = layer.encode(torch.tensor([-0.01, 0.0, 0.3]).view(1, 3, 1))[0]
    assert codes[1].tolist() == [1, 1, 0, codes[1, 3].clamp(min=0)]
    assert (codes.diff(dim=0) >= 0).all() and (codes.diff(dim=0).sum(dim=1) > 0).all()


@pytest.mark.parametrize("embedding", ["periodic", "piecewise"])
def test_an_input_goes_with_its_embedding_and_exactly(embedding):
    def make():
        return MLP(6, 2, (8,), embedding=embedding)

    assert_cuts_are_exact(make, (6,))
    network = find_groups(shaken(make().double()), (6,))
    assert {c.name: c.pinned or c.size for c in network.channels} == {
        "inputs": 6,
        "linear1": 8,
    }
    small, _ = cut(network, random_masks(network))
    kept = small.inputs.size
    embed = small.module.embedding
    assert embed.n_features_in == kept == len(embed.weight)
    assert small.module.linear1.in_features == kept * embed.width


def test_a_linear_layer_cannot_follow_what_an_embedding_can():
    """A step of one input, seen by least squares on the codes."""
    x = torch.linspace(-2, 2, 400)[:, None]
    y = (x[:, 0] > 0.3).float()
    torch.manual_seed(0)
    residuals = []
    for read in (nn.Identity(), PeriodicEmbedding(1, width=32, scale=1.0)):
        codes = torch.cat([read(x).detach(), torch.ones(400, 1)], dim=1)
        fitted = codes @ torch.linalg.lstsq(codes, y[:, None]).solution
        residuals.append(float(((fitted[:, 0] - y) ** 2).mean()))
    assert residuals[1] < residuals[0] / 5


def test_an_unknown_embedding_is_refused():
    with pytest.raises(ValueError, match="`embedding` must be None or one of"):
        MLP(3, 2, embedding="fourier")


def test_bins_of_a_number_that_many_rows_have_do_not_feel_rounding():
    torch.manual_seed(0)
    two_values = (torch.rand(200) < 0.2).float()
    mostly_zero = torch.randn(200) * (torch.rand(200) < 0.3)
    X = torch.stack([two_values, mostly_zero], dim=1)
    embedding = PiecewiseEmbedding(2)
    embedding.set_bins(X)
    codes = embedding.encode(X.t()[..., None])
    rounded = embedding.encode((X.t() + 1e-6)[..., None])
    assert (codes - rounded).abs().max() < 1e-3
    # each of the two values has codes of its own, and zero those of no other number
    assert codes[0][X[:, 0] == 0].unique(dim=0).shape[0] == 1
    assert (codes[0][X[:, 0] == 1][0] - codes[0][X[:, 0] == 0][0]).max() == 1
    smallest = X[X[:, 1] > 0, 1].min()
    at_zero = codes[1][X[:, 1] == 0][0]
    assert (codes[1][X[:, 1] == smallest][0] - at_zero).max() == 1
