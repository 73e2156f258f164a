from collections import OrderedDict

import pytest
import torch
from _networks import Net
from torch import nn

from skjointprune._graph.groups import find_groups


@pytest.mark.parametrize(
    ("module", "shape", "says"),
    [
        (
            nn.Sequential(nn.Linear(3, 2)),
            (4,),
            r"at Linear '0' \(.*as many inputs as X has columns",
        ),
        (
            nn.Sequential(nn.Linear(4, 5), nn.Linear(6, 2)),
            (4,),
            r"at Linear '1' \(.*Let its layers fit each other\.",
        ),
        (
            nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(9, 2)),
            (3, 4, 4),
            r"at Linear '2' \(.*and images of the `input_shape`\.",
        ),
        (
            Net(lambda m, x: m.a(x) + torch.ones(7), a=nn.Linear(4, 2)),
            (4,),
            r"at 'add' \(",
        ),
        (
            Net(lambda m, x: m.a(x).flatten(1), a=nn.Embedding(4, 2)),
            (4,),
            r"at Embedding 'a' \(.*`x.long\(\)` are.*`standardize=False`",
        ),
        (
            Net(lambda m, x: m.a(x)[:, :, 0], a=nn.Linear(4, 2)),
            (4,),
            r"at 'getitem' \(too many indices.*Let its layers fit each other\.",
        ),
    ],
)
def test_what_does_not_run_is_named_with_its_remedy(module, shape, says):
    with pytest.raises(ValueError, match=says):
        find_groups(module, shape)


@pytest.mark.parametrize(
    ("code", "where"),
    [
        (lambda m, x: m.a(x).relu().reshape(-1, 2), " at 'reshape'"),
        (lambda m, x: (m.a(x) @ m.w.tanh()).view(-1, 2), " at 'view'"),
        (lambda m, x: (m.a(x) / x.mean()).view(-1, 2).relu(), " at 'view'"),
        (lambda m, x: m.w[:, :2], " at 'getitem'"),
        (lambda m, x: m.w, ""),
    ],
)
def test_where_rows_are_mixed_up_is_named(code, where):
    mixed = Net(code, a=nn.Linear(4, 6), w=nn.Parameter(torch.ones(6, 6)))
    with pytest.raises(ValueError, match=rf"from 2 rows, which change{where}; keep"):
        find_groups(mixed, (4,))


def test_the_layer_that_reads_the_rows_may_be_behind_a_function():
    module = Net(lambda m, x: m.a(x / 2), a=nn.Linear(3, 2))
    with pytest.raises(ValueError, match="as many inputs as X has columns"):
        find_groups(module, (4,))


@pytest.mark.parametrize("name", ["code", "graph", "meta"])
def test_a_layer_may_have_a_name_that_torch_fx_uses(name):
    layers = {name: nn.Linear(6, 8), "out": nn.Linear(8, 2)}
    network = find_groups(nn.Sequential(OrderedDict(layers)), (6,))
    assert {c.name: c.size for c in network.channels} == {"inputs": 6, name: 8}


def test_constants_of_a_traced_module_are_there():
    code = Net(
        lambda m, x: m.b(m.a(x) * torch.tensor(2.0)),
        a=nn.Linear(4, 6),
        b=nn.Linear(6, 2),
    )
    network = find_groups(torch.fx.symbolic_trace(code), (4,))
    assert {c.name: c.size for c in network.channels} == {"inputs": 4, "a": 6}


def test_a_gradient_within_forward_asks_for_a_rule():
    def slope(m, x):
        with torch.enable_grad():
            z = x.detach().requires_grad_()
            return m.b(torch.autograd.grad(m.a(z).tanh().sum(), z)[0])

    with pytest.raises(ValueError, match=r"no gradients while .* register a rule for"):
        find_groups(Net(slope, a=nn.Linear(4, 6), b=nn.Linear(4, 2)), (4,))


def test_a_network_for_two_rows_alone_is_refused():
    module = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    exported = torch.export.export(module, (torch.zeros(2, 4),)).module()
    with pytest.raises(ValueError, match="runs on 2 rows, and not on 3"):
        find_groups(exported, (4,))
