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
