"""Layers that normalise their weights lose channels, and compute the same."""

import pickle
from functools import partial

import pytest
import torch
from _networks import assert_cuts_are_exact, compact, random_masks
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import orthogonal, spectral_norm, weight_norm

from skjointprune import register_rule
from skjointprune._graph.groups import find_groups
from skjointprune._layers.stand_ins import with_prunable_norms
from skjointprune._layers.weight_norms import Normed, pad_same

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")


class Standard(nn.Conv2d):
    """As those write it who have it from the paper."""

    def forward(self, x):
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        deviation = weight.flatten(1).std(1).view(-1, 1, 1, 1) + 1e-5
        return self._conv_forward(x, weight / deviation, self.bias)


class Scaled(nn.Conv2d):
    """As in networks without other normalisation: a scale, and a factor."""

    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        self.gain = nn.Parameter(torch.ones(self.out_channels, 1, 1, 1))

    def forward(self, x):
        rows = self.weight.reshape(1, self.out_channels, -1)
        scale = (self.gain * self.weight[0].numel() ** -0.5).view(-1)
        weight = F.batch_norm(rows, None, None, scale, training=True, eps=1e-6)
        weight = weight.reshape_as(self.weight)
        return F.conv2d(x, weight, self.bias, self.stride, 0, 1, self.groups)


class Same(Scaled):
    """With as many zeros around as TensorFlow puts there."""

    def forward(self, x):
        return super().forward(pad_same(x, self))


class Largest(nn.Conv2d):
    """With a least variance, as Haiku has it."""

    def forward(self, x):
        var, mean = torch.var_mean(self.weight, (1, 2, 3), correction=0, keepdim=True)
        scale = torch.rsqrt(torch.clamp(var * self.weight[0].numel(), min=1e-4))
        return self._conv_forward(x, (self.weight - mean) * scale, self.bias)


class Lengths(nn.Linear):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.lengths = nn.Parameter(torch.ones(self.out_features))

    def forward(self, x):
        return F.linear(x, self.lengths[:, None] * F.normalize(self.weight), self.bias)


class Noisy(Standard):
    def forward(self, x):
        return super().forward(x) + self.training * torch.randn(())


class Twice(Standard):
    def forward(self, x):
        return 2 * super().forward(x)


class Sizes(Standard):
    def forward(self, x):
        return super().forward(x.abs())


def of(norm, kind, **options):
    """Make layers of torch whose weights are normalised."""
    return lambda *sizes, **more: norm(kind(*sizes, **more), **options)


def tables(make, activation=nn.ReLU):
    parts = [make(9, 12), activation(), make(12, 10), activation()]
    return nn.Sequential(*parts, nn.Linear(10, 3))


def images(make, groups=1):
    parts = [make(3, 12, 3, groups=groups), nn.ReLU(), make(12, 10, 3, stride=2)]
    pooled = [nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(10, 3)]
    return nn.Sequential(*parts, *pooled)


NETWORKS = {
    "weight norm": partial(tables, of(weight_norm, nn.Linear)),
    "of the whole": partial(tables, of(weight_norm, nn.Linear, dim=None)),
    "sigmoid": partial(tables, of(weight_norm, nn.Linear), nn.Sigmoid),
    "spectral norm": partial(tables, of(spectral_norm, nn.Linear)),
    "old weight norm": partial(tables, of(nn.utils.weight_norm, nn.Linear)),
    "old, of the whole": partial(tables, of(nn.utils.weight_norm, nn.Linear, dim=None)),
    "old spectral norm": partial(tables, of(nn.utils.spectral_norm, nn.Linear)),
    "old weight norm of maps": partial(images, of(nn.utils.weight_norm, nn.Conv2d)),
    "old spectral norm of groups": partial(
        images, of(nn.utils.spectral_norm, nn.Conv2d), 3
    ),
    "lengths": partial(tables, Lengths),
    "weight norm of maps": partial(images, of(weight_norm, nn.Conv2d)),
    "spectral norm of maps": partial(images, of(spectral_norm, nn.Conv2d)),
    "spectral norm of groups": partial(images, of(spectral_norm, nn.Conv2d), 3),
    "standard": partial(images, Standard),
    "groups": partial(images, Standard, 3),
    "scaled": partial(images, Scaled),
    "same": partial(images, Same),
    "largest": partial(images, Largest),
}


def shape_of(kind):
    return (9,) if isinstance(NETWORKS[kind]()[0], nn.Linear) else (3, 8, 9)


def replaced(module):
    return with_prunable_norms(module, lambda layer: False)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", NETWORKS)
def test_stand_ins_compute_the_same_with_the_same_parameters(kind, training):
    torch.manual_seed(0)
    module = NETWORKS[kind]().double().train(training)
    torch.manual_seed(0)
    ours = replaced(NETWORKS[kind]().double().train(training))
    assert isinstance(ours[0], Normed) and isinstance(ours[2], Normed)
    rows = torch.randn(2, *shape_of(kind), dtype=torch.float64)
    if not (training and kind.startswith("old spectral")):  # iterates in another order
        assert torch.allclose(ours(rows), module(rows), atol=1e-10)
    parameters = {id(p) for p in module.parameters()}
    assert {id(p) for p in replaced(module).parameters()} == parameters


@pytest.mark.parametrize("kind", NETWORKS)
def test_inputs_and_units_go_exactly(kind):
    make, shape = NETWORKS[kind], shape_of(kind)
    assert find_groups(make(), shape).kept_whole == {}
    assert_cuts_are_exact(make, shape)


@pytest.mark.parametrize(
    "kind",
    ["weight norm", "spectral norm", "old weight norm", "old spectral norm", "scaled"],
)
def test_what_is_cut_can_be_trained_and_pickled(kind):
    network = find_groups(NETWORKS[kind](), shape_of(kind))
    small = compact(network, random_masks(network, 0.5))
    module = pickle.loads(pickle.dumps(small.module)).train()
    rows = torch.randn(4, *small.input_shape)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    module(rows).square().sum().backward()
    optimizer.step()
    assert module.eval()(rows).isfinite().all()


@pytest.mark.parametrize("make", [Noisy, Sizes, Twice])
def test_a_layer_that_does_more_is_not_replaced(make):
    layers = images(make)
    assert replaced(layers)[0] is layers[0] and isinstance(layers[0], make)


def test_a_parametrization_without_a_stand_in_is_kept_whole():
    module = nn.Sequential(orthogonal(nn.Linear(6, 6)), nn.ReLU(), nn.Linear(6, 2))
    network = find_groups(module, (6,))
    assert "no rule for ParametrizedLinear '0'" in network.kept_whole["0"]


def test_a_registered_rule_comes_first():
    def whole(layer, name, x, context):
        return NotImplemented

    with register_rule(Standard, whole):
        network = find_groups(images(Standard), (3, 8, 8))
    assert type(network.module[0]) is Standard
