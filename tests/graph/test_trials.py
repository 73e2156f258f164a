from torch import nn

from skjointprune._graph import trials
from skjointprune._graph.groups import find_groups


def counted(monkeypatch):
    """Return a list that gets an item for each trial."""
    tried, is_exact = [], trials.is_exact

    def trial(*args):
        tried.append(args)
        return is_exact(*args)

    monkeypatch.setattr(trials, "is_exact", trial)
    return tried


def test_a_deep_network_needs_no_trials(monkeypatch):
    """Parameters drawn anew, each larger, would make its numbers infinite."""
    layers = [nn.Sequential(nn.Linear(128, 128), nn.ReLU()) for _ in range(100)]
    module = nn.Sequential(nn.Linear(4, 128), *layers, nn.Linear(128, 2))
    tried = counted(monkeypatch)
    network = find_groups(module, (4,))
    assert not tried and not network.kept_whole and not network.reads_constants


class SumOfProducts(nn.Module):
    """Adds up products, which are a quarter where their factors are zero before."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 8), nn.Linear(4, 8)
        self.out = nn.Linear(1, 2)

    def forward(self, x):
        products = self.a(x).sigmoid() * self.b(x).sigmoid()
        return self.out(products.sum(dim=1, keepdim=True))


def test_what_adds_to_a_sum_as_zeros_is_tried_and_stays(monkeypatch):
    tried = counted(monkeypatch)
    network = find_groups(SumOfProducts(), (4,))
    assert tried
    assert network.kept_whole == {"a": f"zeroed, they still add {trials.SUMS}"}
