"""Sizes that code asks for follow when channels go."""

import copy
import pickle

import pytest
import torch
from _attention import KINDS, OneReshape, Transformer
from _networks import (
    Net,
    assert_cuts_are_exact,
    compact,
    cut,
    random_masks,
    shaken,
)
from torch import nn
from torch.nn import functional as F

from skjointprune._graph.groups import find_groups
from skjointprune._layers.stand_ins import with_prunable_layers

IMAGE = (3, 16, 16)


def transformer(kind):
    return with_prunable_layers(Transformer(KINDS[kind]))


@pytest.mark.parametrize("kind", KINDS)
def test_attention_by_hand_loses_heads_and_the_stream(kind):
    network = find_groups(transformer(kind), IMAGE)
    assert not network.kept_whole
    sizes = {c.name: c.size for c in network.channels}
    assert sizes["patch"] == 16
    if KINDS[kind].heads == 4:  # queries, keys and values of a head go together
        named = "attn" if kind == "ZeroBias" else "attn.qkv"  # by what first makes them
        assert sizes[named] == 4


@pytest.mark.parametrize("kind", KINDS)
def test_cuts_of_attention_by_hand_are_exact(kind):
    assert_cuts_are_exact(lambda: transformer(kind), IMAGE)


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    network = find_groups(shaken(transformer("OneReshape")), IMAGE)
    keep = random_masks(network, 0.6)
    del keep["inputs"]
    return cut(network, keep)[0].module


def test_a_layer_whose_sizes_follow_is_one_of_its_class(small):
    assert isinstance(small.attn, OneReshape)
    assert type(small.attn).__name__ == "OneReshape"
    assert list(small.state_dict()) == list(transformer("OneReshape").state_dict())


@pytest.mark.parametrize(
    "again",
    [
        copy.deepcopy,
        lambda module: pickle.loads(pickle.dumps(module)),
        lambda module: torch.export.export(module, (torch.zeros(2, *IMAGE),)).module(),
    ],
    ids=["deepcopy", "pickle", "export"],
)
def test_sizes_that_follow_outlive(small, again):
    X = torch.randn(2, *IMAGE)
    with torch.no_grad():
        torch.testing.assert_close(again(small)(X), small(X))


def test_a_compact_network_has_groups_again(small):
    network = find_groups(copy.deepcopy(small), IMAGE)
    assert cut(network, random_masks(network, 0.5))[1] < 1e-5


def test_the_code_of_a_layer_whose_sizes_are_right_is_run_as_it_is():
    layers = {"a": nn.Linear(4, 6), "b": nn.Linear(6, 2)}
    module = Net(lambda m, x: m.b(m.a(x).view(x.shape[0], -1)), **layers)
    assert type(find_groups(module, (4,)).module) is Net


def test_one_size_that_two_calls_write_stays_where_one_counts_no_channels():
    def forward(m, x):
        ones = torch.ones(len(x), 8).to(x).view(-1, 2, 4)
        return m.b(m.a(x).view(-1, 2, 4).flatten(1)) + ones.sum((1, 2))[:, None]

    network = find_groups(Net(forward, a=nn.Linear(4, 8), b=nn.Linear(8, 2)), (4,))
    assert "is written at" in network.kept_whole["a"]


def test_two_sizes_that_two_calls_write_follow():
    def forward(m, x):
        a, c = m.a(x).view(-1, 2, 4), m.c(x).view(-1, 3, 5)
        return m.b(a.flatten(1)) + m.d(c.flatten(1))

    def make():
        layers = {"a": (4, 8), "c": (4, 15), "b": (8, 2), "d": (15, 2)}
        return Net(
            forward, **{name: nn.Linear(*sizes) for name, sizes in layers.items()}
        )

    assert find_groups(make(), (4,)).kept_whole == {}
    assert_cuts_are_exact(make, (4,))


def test_a_size_is_not_that_of_channels_that_all_hang_together():
    def forward(m, x):
        x = m.a(x)
        x = x * x.amax(1, keepdim=True)
        return m.b(m.q(x).view(-1, 2, 4).transpose(1, 2).reshape(len(x), x.shape[1]))

    layers = {"a": (4, 8), "q": (8, 8), "b": (8, 2)}
    layers = {name: nn.Linear(*sizes) for name, sizes in layers.items()}
    network = find_groups(Net(forward, **layers), (4,))
    assert network.kept_whole.keys() == {"a"}
    assert_cuts_are_exact(lambda: Net(forward, **copy.deepcopy(layers)), (4,))


class Wide(nn.Module):
    """A layer that asks for a shape which it computes, as GPT-2 has it."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.n_out = n_out
        self.weight = nn.Parameter(torch.randn(n_in, n_out))
        self.bias = nn.Parameter(torch.randn(n_out))

    def forward(self, x):
        shape = x.size()[:-1] + (self.n_out,)  # noqa: RUF005
        x = torch.addmm(self.bias, x.view(-1, x.size(-1)), self.weight)
        return x.view(shape)


def test_a_compact_network_that_computes_shapes_has_groups_again():
    layers = {"a": Wide(6, 8), "b": Wide(8, 12), "c": nn.Linear(12, 2)}
    forward = lambda m, x: m.c(m.b(m.a(x).relu()).relu()).mean(1)  # noqa: E731
    network = find_groups(Net(forward, **layers), (5, 6))
    assert network.kept_whole == {}
    for _ in range(2):
        small, difference = cut(network, random_masks(network, 0.6))
        assert difference < 1e-5
        network = find_groups(small.module, small.input_shape)


@pytest.mark.parametrize(
    "norm",
    [
        lambda m, x: F.layer_norm(x, (8,), m.p),
        lambda m, x: F.layer_norm(input=x, normalized_shape=(8,), weight=m.p),
        lambda m, x: F.rms_norm(x, (8,), m.p),
        lambda m, x: F.group_norm(x, 1, m.p),
    ],
)
def test_a_compact_network_that_calls_norms_of_a_written_size_has_groups_again(norm):
    layers = {"a": nn.Linear(4, 8), "b": nn.Linear(8, 2)}
    layers["p"] = nn.Parameter(torch.rand(8) + 1)
    network = find_groups(Net(lambda m, x: m.b(norm(m, m.a(x))), **layers), (4,))
    for _ in range(2):
        assert network.kept_whole == {}
        small, difference = cut(network, random_masks(network, 0.6))
        assert difference < 1e-5
        network = find_groups(small.module, small.input_shape)


def test_queries_that_no_weight_reads_can_go():
    network = find_groups(transformer("OneHead"), IMAGE)
    queries = next(c for c in network.channels if c.name == "attn.q")
    assert queries.pinned is None
    assert not queries.read_by


class WithBuffer(nn.Module):
    """Tokens that are not trained stand before those of the rows."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 2)
        self.register_buffer("more", torch.randn(1, 3, 6))

    def forward(self, x):
        x = torch.cat([self.more.expand(len(x), -1, -1), self.a(x)[:, None]], 1)
        return self.b(x.mean(1))


def test_channels_that_meet_a_buffer_are_kept_whole():
    assert "a" in find_groups(WithBuffer(), (4,)).kept_whole
    assert_cuts_are_exact(WithBuffer, (4,))


def products(activation):
    """Sum products of two layers' units, after a function of these."""

    def forward(m, x):
        q, k = activation(m.q(x)), activation(m.k(x))
        return m.b(q @ k.mT @ m.v(x)).mean(1)

    layers = {"q": (4, 5), "k": (4, 5), "v": (4, 6), "b": (6, 2)}
    layers = {name: nn.Linear(*sizes) for name, sizes in layers.items()}
    return Net(forward, **layers)


def test_units_that_are_zero_in_a_sum_of_products_can_go():
    assert find_groups(products(torch.relu), (3, 4)).kept_whole == {}
    assert_cuts_are_exact(lambda: products(torch.relu), (3, 4))


def test_units_that_add_to_a_sum_where_they_are_zeroed_are_kept_whole():
    kept = find_groups(products(torch.sigmoid), (3, 4)).kept_whole
    assert kept == {
        "q": "zeroed, they still add to a sum of products, a mean or a maximum"
    }
    assert_cuts_are_exact(lambda: products(torch.sigmoid), (3, 4))


def test_a_slice_by_the_number_of_other_channels_keeps_both():
    def make():
        layers = {"a": (4, 8), "c": (4, 8), "b": (8, 2), "d": (8, 2)}
        layers = {name: nn.Linear(*sizes) for name, sizes in layers.items()}

        def forward(m, x):
            a, c = m.a(x), m.c(x)
            return m.b(a[:, : c.shape[1]]) + m.d(c)

        return Net(forward, **layers)

    kept = find_groups(make(), (4,)).kept_whole
    assert set(kept) == {"a", "c"}
    assert_cuts_are_exact(make, (4,))


class Lean(OneReshape):
    """Leaves something out of its state."""

    def __getstate__(self):
        return {k: v for k, v in vars(self).items() if k != "log"}


def test_a_layer_whose_sizes_follow_is_pickled_as_its_class_says():
    module = with_prunable_layers(Transformer(Lean))
    module.attn.log = [1]
    module = find_groups(module, IMAGE).module
    assert not hasattr(pickle.loads(pickle.dumps(module)).attn, "log")


class Chosen(nn.Module):
    """Its forward is an attribute, as the code chooses between several."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 6), nn.Linear(2, 2)
        self.forward = self.halved

    def forward(self, x):
        raise NotImplementedError

    def halved(self, x):
        first, second = self.a(x).split([2, 4], 1)
        return self.b(first) + second.sum(1, keepdim=True)


class Scaled(nn.Module):
    """A scale whose shape is written down, without rows."""

    def __init__(self, width=6):
        super().__init__()
        self.a, self.b = nn.Linear(4, width), nn.Linear(width, 2)
        self.scale, self.shape = nn.Parameter(torch.ones(width)), (width,)

    def forward(self, x):
        return self.b(self.a(x) * self.scale.view(self.shape))


class Inner(nn.Module):
    """Asks for sizes as the layer around it does, and for others."""

    def forward(self, x):
        return x.reshape(len(x), 3, 5, 2).mean(1).flatten(1)


class Outer(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.inner = nn.Linear(4, 8), Inner()
        self.b, self.c, self.d = nn.Linear(8, 30), nn.Linear(10, 2), nn.Linear(8, 2)

    def forward(self, x):
        x = self.a(x)
        heads = x.reshape(len(x), 1, 4, 2).transpose(1, 2).flatten(1)
        return self.d(heads) + self.c(self.inner(self.b(x)))


class NormedProducts(nn.Module):
    """Products of positions, with a normalisation of as many."""

    def __init__(self):
        super().__init__()
        self.q, self.b = nn.Linear(4, 5), nn.Linear(3, 2)
        self.scale, self.shift = (
            nn.Parameter(torch.ones(3)),
            nn.Parameter(torch.ones(3)),
        )
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("var", torch.ones(3))

    def forward(self, x):
        q = self.q(x)
        held = self.mean, self.var, self.scale, self.shift
        return self.b(F.batch_norm(q @ q.mT, *held).mean(-1))


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: nn.Sequential(Chosen()), (4,)),
        (Scaled, (4,)),
        (Outer, (4,)),
        (NormedProducts, (3, 4)),
    ],
    ids=["forward by attribute", "no rows", "within another", "of no channel"],
)
def test_sizes_are_right_wherever_they_are_asked_for(make, shape):
    assert_cuts_are_exact(make, shape)


@pytest.mark.parametrize("make", [lambda: nn.Sequential(Chosen()), Scaled])
def test_units_may_go_wherever_sizes_are_asked_for(make):
    assert find_groups(make(), (4,)).kept_whole == {}


class Means(nn.Module):
    """Divides by a mean over channels, and by one of a layer within."""

    def __init__(self, within=None):
        super().__init__()
        self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 2)
        self.within = within

    def forward(self, x):
        x = self.a(x)
        x = x / (1 + x.square().mean(1, keepdim=True))
        return self.b(x if self.within is None else x * self.within(x))


class Mean(nn.Module):
    """A mean over other channels."""

    def __init__(self):
        super().__init__()
        self.c = nn.Linear(8, 5)

    def forward(self, x):
        return self.c(x).mean(1, keepdim=True)


def test_a_mean_counts_what_is_gone_when_it_is_traced_once_more():
    network = find_groups(Means().double(), (4,))
    small = compact(network, {"a": torch.arange(8) % 2 == 0})
    again = find_groups(pickle.loads(pickle.dumps(small.module)), (4,))
    assert {c.name: c.size for c in again.hidden} == {"a": 4}
    _, difference = cut(again, {"a": torch.arange(4) > 1})
    assert difference < 1e-10


def test_a_layer_does_not_count_for_one_within_that_takes_other_means():
    def make():
        return Means(Mean())

    network = find_groups(make(), (4,))
    assert "several means" in network.kept_whole["a"]
    assert_cuts_are_exact(make, (4,))


class Grouped(nn.Module):
    """Four heads of queries, and two of keys and values."""

    def __init__(self, repeat):
        super().__init__()
        self.heads, self.pairs, self.width, self.repeat = 4, 2, 4, repeat
        self.embed = nn.Linear(5, 16)
        self.q, self.k, self.v = (nn.Linear(16, n) for n in (16, 8, 8))
        self.proj, self.head = nn.Linear(16, 16), nn.Linear(16, 2)

    def forward(self, x):
        x = self.embed(x)
        n, t, _ = x.shape
        q = self.q(x).view(n, t, self.heads, self.width).transpose(1, 2)
        k = self.k(x).view(n, t, self.pairs, self.width).transpose(1, 2)
        v = self.v(x).view(n, t, self.pairs, self.width).transpose(1, 2)
        options = {"enable_gqa": True} if self.repeat is None else {}
        if self.repeat is not None:
            k, v = (self.repeat(part) for part in (k, v))
        out = F.scaled_dot_product_attention(q, k, v, **options)
        out = out.transpose(1, 2).reshape(n, t, -1)
        return self.head((x + self.proj(out)).mean(1))


def interleaved(x):
    return x.repeat_interleave(2, dim=1)


def expanded(x):
    n, heads, t, width = x.shape
    x = x[:, :, None].expand(n, heads, 2, t, width)
    return x.reshape(n, 2 * heads, t, width)


REPEATS = [interleaved, expanded, None]


@pytest.mark.parametrize("repeat", REPEATS)
def test_keys_go_with_all_queries_that_ask_them(repeat):
    network = find_groups(Grouped(repeat), (7, 5))
    assert network.kept_whole == {}
    assert {c.name: c.size for c in network.channels} == {
        "inputs": 5,
        "embed": 16,
        "q": 2,
    }
    assert_cuts_are_exact(lambda: Grouped(repeat), (7, 5))


@pytest.mark.parametrize("repeat", REPEATS)
def test_two_sizes_at_calls_alike_follow_when_the_network_is_cut_once_more(repeat):
    network = find_groups(shaken(Grouped(repeat)), (7, 5))
    small, _ = cut(network, {"embed": torch.arange(16) % 2 == 0})
    again = find_groups(pickle.loads(pickle.dumps(small.module)), (7, 5))
    assert again.kept_whole == {}
    _, difference = cut(again, {"q": torch.tensor([False, True])})
    assert difference < 1e-5


class OneKey(nn.Module):
    """Four heads of queries that ask one of keys and values."""

    def __init__(self, attend):
        super().__init__()
        self.attend, self.heads, self.width = attend, 4, 4
        self.embed, self.q, self.kv = (
            nn.Linear(n, m) for n, m in ((5, 8), (8, 16), (8, 8))
        )
        self.proj, self.head = nn.Linear(16, 8), nn.Linear(8, 2)

    def forward(self, x):
        x = self.embed(x)
        q = self.q(x).view(*x.shape[:2], self.heads, self.width)
        out = self.attend(q, *self.kv(x).chunk(2, -1))
        return self.head((x + self.proj(out.flatten(2))).mean(1))


def by_products(q, k, v):
    weights = (q.transpose(1, 2) @ k[:, None].mT / 2).softmax(-1)
    return (weights @ v[:, None]).transpose(1, 2)


def by_letters(q, k, v):
    weights = torch.einsum("bnhd,bmd->bhnm", q, k).softmax(-1)
    return torch.einsum("bhnm,bmd->bnhd", weights, v)


@pytest.mark.parametrize("attend", [by_products, by_letters])
def test_heads_of_queries_go_that_all_ask_one_key(attend):
    def make():
        return OneKey(attend)

    network = find_groups(make(), (7, 5))
    assert {c.name: c.size for c in network.hidden if not c.pinned} == {
        "embed": 8,
        "q": 4,
    }
    assert_cuts_are_exact(make, (7, 5))


class HeadsAsRows(nn.Module):
    """Heads beside each other as rows, as in the Set Transformer of Lee et al."""

    def __init__(self):
        super().__init__()
        self.width = 4
        self.embed = nn.Linear(5, 8)
        self.q, self.k, self.v = (nn.Linear(8, 8) for _ in range(3))
        self.proj, self.head = nn.Linear(8, 8), nn.Linear(8, 2)

    def forward(self, x):
        x = self.embed(x)
        q, k, v = (
            torch.cat(layer(x).split(self.width, 2), 0)
            for layer in (self.q, self.k, self.v)
        )
        nothing = q.new_zeros(len(q), 7, 7)
        weights = torch.baddbmm(nothing, q, k.mT, alpha=0.5).softmax(-1)
        out = torch.cat((weights @ v).split(x.size(0), 0), 2)
        return self.head((x + self.proj(out)).mean(1))


def test_heads_that_are_rows_lose_width():
    network = find_groups(HeadsAsRows(), (7, 5))
    assert network.kept_whole == {}
    assert_cuts_are_exact(HeadsAsRows, (7, 5))


class Heads(nn.Module):
    """Heads by lengths that are known, as einops finds out all others."""

    def __init__(self):
        super().__init__()
        self.n_heads = 3
        self.embed, self.qkv = nn.Linear(1, 8), nn.Linear(8, 36)
        self.head = nn.Linear(12, 2)

    def parts(self, x):
        known = 1
        for length in (self.n_heads,):
            known *= length
        *others, n = x.shape
        if isinstance(n, int) and n % known:
            raise ValueError("The heads have no equal parts.")
        return x.reshape([*others, known, n // known]).permute([0, 2, 1, 3])

    def forward(self, x):
        q, k, v = map(self.parts, self.qkv(self.embed(x[..., None])).chunk(3, dim=-1))
        x = (q @ k.mT).softmax(-1) @ v
        return self.head(x.permute([0, 2, 1, 3]).flatten(2).mean(1))


def test_a_known_length_is_renewed_where_it_divides():
    network = find_groups(Heads(), (6,))
    assert {c.name: c.size for c in network.hidden if not c.pinned} == {
        "embed": 8,
        "qkv": 3,
    }
    assert_cuts_are_exact(Heads, (6,))
