import pytest
import torch
from _cases import (
    A8,
    CONSTANT,
    I8,
    ROW,
    check,
    conv,
    image,
    image_through,
    linear,
    parameter,
    row,
    sequence,
    whole,
)
from torch import nn
from torch.nn import functional as F

from skjointprune._graph.groups import find_groups
from skjointprune._graph.probes import (
    check_outputs,
    gives_probabilities,
    recording_factors,
    redraw_,
)
from skjointprune._layers.norms import LayerNorm


@pytest.mark.parametrize(
    ("read", "n_times"),
    [
        (lambda x, w: x @ w, 1),
        (lambda x, w: x.matmul(w) + torch.matmul(x, w), 2),
        (lambda x, w: torch.addmm(torch.ones(2), x, w), 1),
        (lambda x, w: torch.matmul(x, other=w), 1),
        (lambda x, w: F.linear(x, 2 * w.t()), 0),  # not the weight itself
        (lambda x, w: torch.einsum("ni,io->no", x, w), 0),
    ],
)
def test_what_is_multiplied_by_a_weight_is_recorded(read, n_times):
    weight, other = nn.Parameter(torch.ones(3, 2)), nn.Parameter(torch.ones(3, 2))
    x = torch.rand(4, 3)
    with recording_factors([weight, other]) as factors:
        read(x, weight)
    assert factors[id(other)] == []
    assert len(factors[id(weight)]) == n_times
    assert all(given is x for given in factors[id(weight)])


class InParts(nn.Sequential):
    """Normalises halves of a batch by themselves while it is trained."""

    def __init__(self):
        super().__init__(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))

    def forward(self, x):
        x = self[0](x)
        parts = x.chunk(2) if self.training else [x]
        return self[2](torch.cat([self[1](part) for part in parts]))


def test_two_rows_may_be_too_few_to_train():
    assert find_groups(InParts(), (6,)).kept_whole == {}


def test_what_fails_on_rows_of_x_or_gives_no_numbers_is_refused():
    broken = nn.Linear(2, 3)
    nn.init.constant_(broken.weight, torch.nan)
    with pytest.raises(ValueError, match=r"gives NaN .* before any train"):
        check_outputs(broken, torch.ones(4, 2))
    with pytest.raises(ValueError, match=r"IndexError: .*`standardize=False`"):
        check_outputs(nn.Embedding(3, 2), torch.tensor([[-1]]))
    check_outputs(nn.Linear(2, 3), torch.ones(4, 2))


ADDED = {"v": parameter(5), "w": parameter(8, 5)}  # of torch.addmm

# What is pruned, and how many groups there are.
PRUNED = {
    "sigmoid, padded before": (
        image(lambda m, x: F.pad(x.sigmoid(), (1, 1, 1, 1))),
        {"inputs": 4, "a": 8},
    ),
    "two constants in one layer": (
        (
            ROW,
            lambda m, x: m.b(m.a(x).sigmoid()) + m.b(m.a(x).tanh()),
            {"a": linear(6, 8), "b": linear(8, 2)},
        ),
        {"inputs": 6, "a": 8},
    ),
    "BatchNorm1d, no scale, then ReLU": (
        row(lambda m, x: m.l(x).relu(), l=lambda: nn.BatchNorm1d(8, affine=False)),
        A8,
    ),
    "BatchNorm2d, no scale, then ReLU": (
        image(lambda m, x: m.l(x).relu(), l=lambda: nn.BatchNorm2d(8, affine=False)),
        I8,
    ),
    "sigmoid": (row(lambda m, x: x.sigmoid()), A8),
    "sigmoid, read without bias": (
        row(lambda m, x: x.sigmoid(), b=linear(8, 2, bias=False)),
        A8,
    ),
    "sigmoid, read without padding": (
        image(lambda m, x: x.sigmoid(), b=conv(8, 2, 3, bias=False)),
        I8,
    ),
    "sigmoid, read around a circle": (
        image(
            lambda m, x: x.sigmoid(),
            b=conv(8, 2, 3, padding=1, padding_mode="circular"),
        ),
        I8,
    ),
    "sigmoid, depthwise": (
        image(lambda m, x: m.l(x.sigmoid()), l=conv(8, 8, 3, padding=1, groups=8)),
        I8,
    ),
    "a row of biases, addmm": (
        row(lambda m, x: torch.addmm(m.v, x, m.w), 5, **ADDED | {"v": parameter(1, 5)}),
        A8 | {"w": 5},
    ),
    "one bias for all, addmm": (
        row(lambda m, x: torch.addmm(m.v, x, m.w), 5, **ADDED | {"v": parameter(1)}),
        A8 | {"w": 5},
    ),
    "a task of one dimension is read": (
        row(
            lambda m, x: x * m.film(m.task),
            film=linear(4, 8),
            task=lambda: nn.Parameter(torch.randn(4)),
        ),
        A8 | {"task": 4},
    ),
    "sigmoid twice": (
        row(lambda m, x: m.l(x.sigmoid()).sigmoid(), l=linear(8, 8)),
        A8 | {"l": 8},
    ),
}

# What is kept whole, and why.
KEPT = {
    "sigmoid, read with padding": (
        image(lambda m, x: x.sigmoid(), b=conv(8, 2, 3, padding=1)),
        whole(CONSTANT.format("b"), 4),
    ),
    "sigmoid, transposed": (
        image(lambda m, x: x.sigmoid(), b=lambda: nn.ConvTranspose2d(8, 2, 3)),
        whole(CONSTANT.format("b"), 4),
    ),
    "BatchNorm2d, no scale, read with padding": (
        image_through(
            lambda: nn.BatchNorm2d(8, affine=False), b=conv(8, 2, 3, padding=1)
        ),
        whole(CONSTANT.format("b"), 4),
    ),
    "LayerNorm after sigmoid": (
        row(lambda m, x: m.l(x.sigmoid()), l=lambda: LayerNorm(8, 8, 1e-5, True, True)),
        whole("zeroed, they still add to means of 'l'"),
    ),
    "sigmoid, the bias is that of another layer": (
        (
            ROW,
            lambda m, x: m.b(m.a(x).sigmoid()).tanh() + F.linear(x, m.l, m.b.bias),
            {"a": linear(6, 8), "b": linear(8, 2), "l": parameter(2, 6)},
        ),
        whole(CONSTANT.format("b")),
    ),
    "sigmoid, the bias is used by itself": (
        (
            ROW,
            lambda m, x: m.b(m.a(x).sigmoid()) * m.b.bias.exp(),
            {"a": linear(6, 8), "b": linear(8, 2)},
        ),
        whole(CONSTANT.format("b")),
    ),
    "sigmoid, addmm": (
        row(lambda m, x: torch.addmm(m.v, x.sigmoid(), m.w), 5, **ADDED),
        whole(CONSTANT.format("w"), w=5),
    ),
    "sigmoid, addmm by names": (
        row(
            lambda m, x: torch.addmm(input=m.v, mat1=x.sigmoid(), mat2=m.w), 5, **ADDED
        ),
        whole(CONSTANT.format("w"), w=5),
    ),
    "sigmoid, LSTM": (
        sequence(
            lambda m, x: m.l(x.sigmoid())[0][:, 0],
            5,
            l=lambda: nn.LSTM(8, 5, batch_first=True),
        ),
        whole(CONSTANT.format("l"), l=5),
    ),
}
ALL = PRUNED | KEPT


@pytest.mark.parametrize("name", ALL)
def test_channels_are_found_and_cut_exactly(name):
    check(*ALL[name])


@pytest.mark.parametrize(
    ("end", "so"),
    [
        (nn.Softmax(1), True),
        (nn.Sigmoid(), True),
        (nn.ReLU(), False),
        (nn.Sequential(nn.Tanh(), nn.Hardtanh(0.2, 0.8)), False),  # logits by chance
    ],
)
def test_probabilities_are_told_from_logits_between_0_and_1(end, so):
    torch.manual_seed(0)
    assert gives_probabilities(nn.Sequential(nn.Linear(4, 3), end), (4,)) == so


@pytest.mark.parametrize(("sign", "alike"), [(1, True), (-1, True), (0, False)])
def test_weights_of_one_sign_make_all_rows_alike(sign, alike):
    """So what a deep network reads would pass for a constant."""
    module = nn.Sequential(*[nn.Linear(64, 64, bias=False) for _ in range(30)]).double()
    redraw_(module, sign, torch.Generator().manual_seed(0))
    with torch.no_grad():
        first, second = F.normalize(module(torch.rand(2, 64).double()))
    assert torch.allclose(first, second, rtol=1e-6) == alike
