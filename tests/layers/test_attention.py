import pytest
import torch
from _networks import compact
from torch import nn

from skjointprune._graph.compact import zero_groups_
from skjointprune._graph.groups import find_groups
from skjointprune._layers.attention import MultiheadAttention
from skjointprune._layers.stand_ins import with_prunable_layers
from skjointprune._pruning.gates import InputGates
from skjointprune._pruning.prices import Prices
from skjointprune._pruning.saliency import FisherSaliency
from skjointprune._pruning.sparsifier import Sparsifier
from skjointprune.penalties import PENALTIES


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("widths", [{}, {"kdim": 5, "vdim": 7}])
@pytest.mark.parametrize("average", [True, False])
def test_it_gives_the_outputs_of_torch(batch_first, bias, widths, average):
    given = nn.MultiheadAttention(
        12, 3, bias=bias, batch_first=batch_first, dropout=0.1, **widths
    ).eval()
    same = MultiheadAttention.of(given)
    sizes = [(4, 6, 12), (4, 8, widths.get("kdim", 12)), (4, 8, widths.get("vdim", 12))]
    q, k, v = (torch.randn(s) for s in sizes)
    if not batch_first:
        q, k, v = (t.transpose(0, 1) for t in (q, k, v))
    padding = torch.zeros(4, 8, dtype=torch.bool)
    padding[:, 6:] = True
    causal = torch.ones(6, 8).triu(1).bool()
    for masks in (
        {},
        {"key_padding_mask": padding},
        {"attn_mask": causal},
        {"attn_mask": causal, "key_padding_mask": padding},
        {"attn_mask": torch.randn(12, 6, 8)},
    ):
        for need_weights in (True, False):
            how = {"need_weights": need_weights, "average_attn_weights": average}
            expected, weights = given(q, k, v, **masks, **how)
            out, found = same(q, k, v, **masks, **how)
            torch.testing.assert_close(out, expected)
            if need_weights:
                torch.testing.assert_close(found, weights)
            else:
                assert found is None


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(5, 12)
        self.attention = nn.MultiheadAttention(12, 3, batch_first=True)
        self.head = nn.Linear(12, 2)

    def forward(self, X):
        X = self.embed(X)
        return self.head((X + self.attention(X, X, X, need_weights=False)[0]).mean(1))


def test_heads_go_whole_and_exactly():
    module = with_prunable_layers(Transformer().double().eval())
    network = find_groups(module, (6, 5))
    heads = next(c for c in network.hidden if c.name == "attention.query")
    assert heads.size == 3
    assert network.kept_whole == {}
    keep = {
        "attention.query": torch.tensor([True, False, True]),
        "embed": torch.rand(12) < 0.5,
        "inputs": torch.tensor([True, False, True, True, False]),
    }
    small = compact(network, keep).module
    zero_groups_(network, keep)
    X = torch.randn(7, 6, 5, dtype=torch.float64)
    got = small(X[..., keep["inputs"]])
    torch.testing.assert_close(got, module(X), rtol=1e-10, atol=1e-10)
    assert small.attention.num_heads == 2
    assert small.attention.query.weight.shape == (8, int(keep["embed"].sum()))


def test_units_of_heads_are_what_makes_a_round_number():
    network = find_groups(with_prunable_layers(Transformer()), (6, 5))
    heads = next(c for c in network.hidden if c.name == "attention.query")
    assert heads.units_each == {4}
    gates = InputGates(("channel",), (6, 5))
    saliency = FisherSaliency(network, gates, batch_size=8, memory=1000)
    saliency.squares["attention.query"] = torch.tensor([1.0, 100.0, 4.0])
    pruner = Sparsifier(
        network,
        gates,
        saliency,
        Prices(PENALTIES["group_l0"](), "weights", round_units_to=8),
        torch.optim.Adam(network.module.parameters()),
        rows=lambda: torch.ones(2, 6, 5),
    )
    pruner.prune(float(saliency.measure(heads).max()) * 0.9)
    assert heads.size == 2  # of 4 units each
    assert all(c.size % 8 == 0 for c in network.hidden if c is not heads)
