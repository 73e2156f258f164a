import pytest
import torch
from _networks import assert_cuts_are_exact
from torch import nn

from skjointprune._graph.groups import find_groups
from skjointprune._layers.stand_ins import with_prunable_layers


def encoder(**options):
    layer = nn.TransformerEncoderLayer(12, 3, 16, **options)
    return nn.TransformerEncoder(
        layer, 2, norm=nn.LayerNorm(12), enable_nested_tensor=False
    )


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("activation", ["gelu", nn.SiLU()])
@pytest.mark.parametrize("training", [True, False])
def test_it_gives_the_outputs_of_torch(batch_first, norm_first, activation, training):
    options = {"activation": activation, "dropout": 0.0}
    given = encoder(norm_first=norm_first, batch_first=batch_first, **options)
    given = nn.Sequential(given).double().train(training)
    X = torch.randn(4, 6, 12, dtype=torch.float64)
    rows, positions = (4, 6) if batch_first else (6, 4)
    causal = torch.ones(positions, positions).triu(1).bool()
    padding = torch.zeros(rows, positions).bool()
    padding[0, -1] = True
    calls = [{}, {"mask": causal}, {"mask": causal, "is_causal": True}]
    calls += [{"src_key_padding_mask": padding}]
    with torch.no_grad():
        expected = [given[0](X, **call) for call in calls]
        same = with_prunable_layers(given)
        got = [same[0](X, **call) for call in calls]
    torch.testing.assert_close(got, expected)


class Transformer(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.embed = nn.Linear(5, 12)
        self.encoder = encoder(**options)
        self.head = nn.Linear(12, 2)
        self.batch_first = options.get("batch_first", False)

    def forward(self, X):
        X = self.embed(X)
        if self.batch_first:
            return self.head(self.encoder(X).mean(1))
        return self.head(self.encoder(X.transpose(0, 1)).mean(0))


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("norm_first", [True, False])
def test_heads_units_and_channels_go_exactly(batch_first, norm_first):
    def make():
        options = {"batch_first": batch_first, "norm_first": norm_first}
        return with_prunable_layers(Transformer(**options))

    network = find_groups(make(), (6, 5))
    assert network.kept_whole == {}
    assert {c.name: c.size for c in network.channels} == {
        "inputs": 5,
        "embed": 12,
        "encoder.layers.0.self_attn.query": 3,
        "encoder.layers.0.linear1": 16,
        "encoder.layers.1.self_attn.query": 3,
        "encoder.layers.1.linear1": 16,
    }
    assert_cuts_are_exact(make, (6, 5))


def test_the_hint_on_a_mask_needs_the_mask():
    (same,) = with_prunable_layers(nn.Sequential(encoder()))
    with pytest.raises(ValueError, match="`is_causal`"):
        same(torch.randn(4, 6, 12), is_causal=True)


class Translating(nn.Module):
    """Encoder and decoder of torch, or a decoder alone, with masks."""

    def __init__(self, whole, **options):
        super().__init__()
        self.embed, self.ask = nn.Linear(5, 12), nn.Linear(5, 12)
        self.whole = whole
        if whole:
            self.within = nn.Transformer(12, 3, 1, 1, 16, dropout=0.0, **options)
        else:
            layer = nn.TransformerDecoderLayer(12, 3, 16, dropout=0.0, **options)
            self.within = nn.TransformerDecoder(layer, 1)
        self.head = nn.Linear(12, 2)
        self.batch_first = options.get("batch_first", False)

    def forward(self, X):
        if not self.batch_first:
            X = X.transpose(0, 1)
        mask = nn.Transformer.generate_square_subsequent_mask(6)
        out = self.within(self.ask(X), self.embed(X), tgt_mask=mask.to(X))
        return self.head(out.mean(1 if self.batch_first else 0))


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("norm_first", [True, False])
def test_decoders_lose_heads_units_and_channels_exactly(whole, batch_first, norm_first):
    def make(prunable=True):
        options = {"batch_first": batch_first, "norm_first": norm_first}
        module = Translating(whole, **options).eval()
        return with_prunable_layers(module) if prunable else module

    X, given = torch.randn(4, 6, 5), make(prunable=False)
    with torch.no_grad():
        expected = given(X)
        torch.testing.assert_close(with_prunable_layers(given)(X), expected)
    network = find_groups(make(), (6, 5))
    assert network.kept_whole == {}
    assert {c.size for c in network.channels} == {5, 12, 3, 16}
    assert_cuts_are_exact(make, (6, 5))


def test_heads_go_where_masks_are_given():
    class Masked(Transformer):
        def forward(self, X):
            nothing = (X == 0).all(-1)
            past = torch.ones(6, 6).triu(1).bool()
            X = self.encoder(self.embed(X), past, nothing)
            return self.head(X.mean(1))

    def make():
        return with_prunable_layers(Masked(batch_first=True))

    assert (
        "encoder.layers.0.self_attn.query" not in find_groups(make(), (6, 5)).kept_whole
    )
    assert_cuts_are_exact(make, (6, 5))
