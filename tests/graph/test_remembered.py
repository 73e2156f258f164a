import pytest
import torch
from _networks import Net, compact, random_masks, shaken
from torch import nn

from skjointprune._graph.compact import is_exact
from skjointprune._graph.groups import find_groups


class Biased(nn.Module):
    """A layer that keeps, outside training, what it computes of its bias."""

    def __init__(self, n):
        super().__init__()
        self.bias, self.kept = nn.Parameter(torch.ones(n)), {}

    def biases(self, device):
        if self.training:
            return 2 * self.bias
        if str(device) not in self.kept:
            self.kept[str(device)] = 2 * self.bias
        return self.kept[str(device)]

    def forward(self, x):
        return x + self.biases(x.device)


def network():
    module = nn.Sequential(nn.Linear(6, 8), Biased(8), nn.ReLU(), nn.Linear(8, 2))
    return shaken(module.double())


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_what_a_layer_keeps_of_its_parameters_is_forgotten_at_a_cut(training, share):
    found = find_groups(network().train(training), (6,))
    assert found.kept_whole == {}
    assert found.module[1].kept == {}
    rows = torch.randn(4, 6, dtype=torch.float64)
    with torch.no_grad():
        found.module.eval()(rows)
    assert len(found.module[1].kept) == 1
    keep = random_masks(found, share)
    assert is_exact(found, keep, rows)
    assert compact(found, keep).module[1].kept == {}


def test_sizes_that_are_kept_for_the_same_run_are_followed():
    def forward(m, x):
        x = m.a(x)
        m.rows, m.columns = x.shape[2:]
        return m.b(x.flatten(2).sum(-1) / (m.rows * m.columns))

    module = Net(forward, a=nn.Conv2d(3, 8, 1), b=nn.Linear(8, 2))
    found = find_groups(shaken(module), (3, 4, 5))
    assert found.kept_whole == {}
    assert is_exact(found, random_masks(found), torch.randn(2, 3, 4, 5))
    assert not hasattr(module, "rows")


def test_what_a_layer_keeps_of_rows_is_refused_with_a_remedy():
    def forward(m, x):
        m.last = m.a(x)
        return m.b(m.last.relu())

    module = Net(forward, a=nn.Linear(6, 8), b=nn.Linear(8, 2))
    says = (
        r"\('last' holds .*, at \S*test_remembered\.py:\d+\. .*`self\.last\.copy_\(…\)`"
    )
    with pytest.raises(ValueError, match=says):
        find_groups(module, (6,))
    assert not hasattr(module, "last")
