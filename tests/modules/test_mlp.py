import pytest
import torch
from _helpers import RELEVANT
from _networks import assert_cuts_are_exact, cut, random_masks, shaken
from torch import nn

from skjointprune._graph.groups import find_groups
from skjointprune.modules import MLP, InputScale, SmoothClip
from skjointprune.modules._mlp import mlp_defaults


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"activation": "swish"}, "`activation`.*'swish'"),
        ({"activation": ["relu"]}, "`activation`.*'relu'"),
        ({"norm": "group"}, "`norm`.*'group'"),
        ({"norm": ["batch"]}, "`norm`.*'batch'"),
        ({"embedding": ["periodic"]}, "`embedding`.*'periodic'"),
        ({"dropout": 1.0}, "`dropout`.*1.0"),
        ({"dropout": None}, "`dropout`.*None"),
        ({"clip": "3"}, "`clip`.*'3'"),
        ({"hidden_layer_sizes": (3, 0)}, "`hidden_layer_sizes`"),
        ({"clip": 0.0}, "`clip`.*0.0"),
        ({"scale_inputs": 20}, "`scale_inputs`.*20"),
    ],
)
def test_parameters_out_of_range_are_refused_by_name(params, says):
    with pytest.raises(ValueError, match=says):
        MLP(4, 2, **params)


def test_no_hidden_layer_is_a_linear_model():
    assert [type(m) for m in MLP(4, 2, ())] == [nn.Linear]


def test_hidden_layer_sizes_empty_is_a_linear_model(quick, planted):
    clf = quick(hidden_layer_sizes=(), n_features_to_select=3).fit(*planted)
    assert clf.get_support(indices=True).tolist() == RELEVANT
    assert [type(m) for m in clf.module_] == [nn.Linear]


def test_numbers_and_few_inputs_are_embedded_and_many_are_not():
    def defaults(n, regression):
        return mlp_defaults(n, (8,), regression=regression)

    assert defaults(5, True)["embedding"] == defaults(5, False)["embedding"]
    assert defaults(5, True)["embedding"] == "piecewise"
    assert defaults(784, True)["embedding"] is None
    assert defaults(784, False)["embedding"] is None
    assert defaults(5, True)["norm"] is None
    assert defaults(5, False)["norm"] == "batch"
    for n in (5, 784):
        for regression in (True, False):
            MLP(n, 2, **defaults(n, regression))


def test_clip_brings_extreme_inputs_close_and_leaves_others():
    clip = SmoothClip(3.0)
    x = torch.tensor([0.0, 0.1, -0.1, 1e6, -1e6])
    assert torch.allclose(clip(x)[:3], x[:3], atol=1e-3)
    assert torch.allclose(clip(x)[3:], torch.tensor([3.0, -3.0]))
    assert MLP(4, 2, clip=2.0).clip.limit == 2.0


def test_an_extreme_row_hardly_moves_a_clipped_network():
    torch.manual_seed(0)
    net = MLP(3, 1, (8,), norm=None, dropout=0, clip=3.0).eval()
    X = torch.zeros(1, 3)
    far = net(X + 1e3)
    assert (net(X + 1e6) - far).abs().max() < 0.01


def test_inputs_of_a_clipped_network_go_exactly():
    assert_cuts_are_exact(lambda: MLP(6, 2, (8,), clip=3.0), (6,))


def test_bins_hold_as_many_rows_each_wherever_these_are():
    X = torch.randn(1600, 2).exp() * torch.tensor([1.0, 100.0])
    net = MLP(2, 1, embedding="piecewise")
    net.set_bins(X)
    left = net.embedding.left
    counts = torch.stack(
        [torch.bucketize(x, left[i, 1:]).bincount() for i, x in enumerate(X.T)]
    )
    assert (counts - 100).abs().max() <= 1
    # a column of few values: bins are steps, and codes finite
    net.set_bins(torch.tensor([[0.0, 1.0], [1.0, 1.0]] * 50))
    assert net(X).isfinite().all()


def test_bins_of_wide_tables_are_found_too():
    X = torch.rand(9000, 1).expand(-1, 2000)  # more numbers than torch.quantile takes
    net = MLP(2000, 1, (2,), embedding="piecewise")
    net.set_bins(X)
    assert torch.equal(net.embedding.left[0], net.embedding.left[-1])


@pytest.mark.parametrize("embedding", ["periodic", None])
def test_an_input_goes_with_its_factor_and_exactly(embedding):
    def make():
        return MLP(6, 2, (8,), embedding=embedding, scale_inputs=True)

    assert_cuts_are_exact(make, (6,))
    network = find_groups(shaken(make().double()), (6,))
    small, _ = cut(network, random_masks(network))
    scale = small.module.scale
    assert scale.n_features_in == small.inputs.size == len(scale.weight)


@pytest.mark.parametrize(
    ("optimizer", "factor"), [(torch.optim.Adam, 8), (torch.optim.SGD, 1)]
)
def test_factors_begin_at_1_and_move_further_with_adam_alone(optimizer, factor):
    scale, weight = InputScale(3, width=2), torch.nn.Parameter(torch.ones(3))
    X = torch.tensor([[1.0, -1, 2, 2, 0.5, 0]])
    torch.testing.assert_close(scale(X), X)
    for owner, out in (
        (scale.weight, scale(X)),
        (weight, X * weight.repeat_interleave(2)),
    ):
        step = optimizer([owner], lr=1e-3)
        (out - torch.arange(6)).square().sum().backward()
        step.step()
    moved = scale(torch.ones(1, 6))[0, ::2] - 1
    torch.testing.assert_close(
        moved, factor * (weight.detach() - 1), rtol=1e-3, atol=1e-6
    )
