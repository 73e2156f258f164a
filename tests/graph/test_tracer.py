import math
from copy import deepcopy

import numpy as np
import pytest
import torch
from _networks import Net, assert_cuts_are_exact
from torch import nn
from torch.nn import functional as F

from skjointprune._graph.compact import is_exact
from skjointprune._graph.groups import find_groups

DECIDES = "the code decides by their number at "


def net(forward):
    """A function of layers a, b and c, and of rows of 12 numbers."""
    layers = {"a": nn.Linear(12, 8), "b": nn.Linear(8, 6), "c": nn.Linear(6, 2)}
    return Net(forward, norm=nn.BatchNorm1d(8), **layers)


def of_dimensions(m, x):
    assert x.ndim == 2
    assert len(x.shape) == 2
    assert not x.is_cuda
    return m.c(m.b(m.a(x)).relu())


def of_the_type(m, x):
    x = x.float() if x.dtype == torch.float16 else x
    return m.c(m.b(m.norm(m.a(x)).relu()))


def of_the_kind(m, x):
    if not isinstance(x, torch.Tensor) or isinstance(x.shape[0], torch.Tensor):
        raise TypeError("x must be a tensor")
    x = m.a(x)
    assert torch.is_tensor(x)
    assert isinstance(x, (np.ndarray, torch.Tensor))
    return m.c(m.b(x if x.type() != "torch.HalfTensor" else x.float()).relu())


def of_the_number_of_rows(m, x):
    for _ in range(x.shape[0]):
        x = x + 1
    return m.c(m.b(m.a(x)).relu())


def of_parts(m, x):
    x = torch.cat([part.relu() for part in m.a(x).chunk(2, 1)], 1)
    return m.c(m.b(x))


def of_all_sizes(m, x):
    product = 1
    for n in m.norm(m.a(x)).shape[:1]:
        product = product * n
    return m.c(m.b(m.a(x).relu())) if product > 0 else x


@pytest.mark.parametrize(
    "forward",
    [
        of_dimensions,
        of_the_type,
        of_the_kind,
        of_the_number_of_rows,
        of_parts,
        of_all_sizes,
    ],
)
def test_code_that_asks_for_what_pruning_leaves_alone_loses_nothing(forward):
    network = find_groups(net(forward), (12,))
    assert network.kept_whole == {}
    assert_cuts_are_exact(lambda: net(forward), (12,))


def of_an_assertion(m, x):
    assert x.shape[1] == 12
    return m.c(m.b(m.a(x)).relu())


def of_two_questions(m, x):
    assert (x.shape[1] == 12) & (x.ndim == 2)
    return m.c(m.b(m.a(x)).relu())


def of_all_but_rows(m, x):
    assert x.shape[1:] == (12,)
    return m.c(m.b(m.a(x)).relu())


def of_an_assertion_of_torch(m, x):
    torch._assert(x.shape[1] == 12, "twelve columns")
    return m.c(m.b(m.a(x)).relu())


def of_a_set(m, x):
    assert x.shape[1] in {12, 13}
    assert {12: True}[x.shape[1]]
    return m.c(m.b(m.a(x)).relu())


def of_a_loop(m, x):
    for _ in range(x.shape[1] // 4):
        x = x + 1
    return m.c(m.b(m.a(x)).relu())


@pytest.mark.parametrize(
    "forward",
    [
        of_an_assertion,
        of_two_questions,
        of_all_but_rows,
        of_an_assertion_of_torch,
        of_a_set,
        of_a_loop,
    ],
)
def test_what_the_code_counts_to_decide_is_kept_whole(forward):
    network = find_groups(net(forward), (12,))
    assert list(network.kept_whole) == ["inputs"]
    assert network.kept_whole["inputs"].startswith(DECIDES)
    assert_cuts_are_exact(lambda: net(forward), (12,))  # of the units


def test_a_number_that_the_code_makes_of_units_keeps_these_whole():
    def forward(m, x):
        x = m.a(x)
        return m.c(m.b(x / int(x.shape[1])) * float(x.shape[1]))

    network = find_groups(net(forward), (12,))
    assert list(network.kept_whole) == ["a"]
    assert_cuts_are_exact(lambda: net(forward), (12,))


@pytest.mark.parametrize("make", ["empty", "ones", "rand", "randn", "zeros"])
def test_the_code_makes_tensors_of_sizes_that_it_asks_for(make):
    def forward(m, x):
        x = m.a(x)
        one_by_one = getattr(torch, make)(x.shape[0], 1, device=x.device)
        at_once = getattr(torch, make)((x.shape[0], 1), dtype=x.dtype)
        return m.c(m.b(x + 0 * (one_by_one + at_once).nan_to_num()))

    there = getattr(torch, make)
    network = find_groups(net(forward), (12,))
    assert network.kept_whole == {}
    assert [c.size for c in network.channels] == [12, 8, 6]
    assert getattr(torch, make) is there


@pytest.mark.parametrize(("size", "layer"), [(4, "small"), (9, "large")])
def test_the_branch_that_is_taken_is_that_for_the_shape_of_the_rows(size, layer):
    def forward(m, x):
        x = m.stem(x)
        if min(x.shape[2:]) < 5:
            x = m.small(x)
        else:
            x = m.large(F.max_pool2d(x, int(math.sqrt(x.shape[-1]))))
        return m.head(x.mean((2, 3)))

    layers = {name: nn.Conv2d(4, 4, 3, padding=1) for name in ("small", "large")}
    module = Net(forward, stem=nn.Conv2d(3, 4, 1), head=nn.Linear(4, 2), **layers)
    network = find_groups(module, (3, size, size))
    assert [c.name for c in network.channels] == ["inputs", "stem", layer]
    assert network.kept_whole == {}
    assert_cuts_are_exact(lambda: module, (3, size, size))


@pytest.mark.parametrize(
    "decide",
    [
        lambda x: x.sum() > 0,
        lambda x: x.sum().item() > 0,
        lambda x: x.tolist(),
        lambda x: (x > 0).nonzero().shape[0] > 0,
        lambda x: x[x > 0].numel() > 0,
        lambda x: x.unique().shape[0] > 0,
    ],
)
def test_code_that_decides_by_numbers_is_refused(decide):
    def forward(m, x):
        return m.c(m.b(m.a(x + 1 if decide(x) else x)))

    with pytest.raises(ValueError, match=r"numbers of a tensor.* branch on values"):
        find_groups(net(forward), (12,))


@pytest.mark.parametrize("n_rows", [1, 100])
def test_code_that_branches_by_the_number_of_rows_is_refused(n_rows):
    def forward(m, x):
        x = m.norm(m.a(x))
        return m.c(m.b(x if x.shape[0] > n_rows else -x))

    with pytest.raises(ValueError, match="'gt' decides by the number of rows"):
        find_groups(net(forward), (12,))


@pytest.mark.parametrize("make", [torch.tensor, torch.as_tensor, torch.scalar_tensor])
def test_a_tensor_may_be_made_of_a_size(make):
    name = make.__name__

    def forward(m, x):
        x = m.a(x)
        return m.c(m.b(x / getattr(torch, name)(x.shape[1]).to(x)))

    network = find_groups(net(forward), (12,))
    assert network.kept_whole == {"a": f"their number is a size at {name!r}"}
    assert_cuts_are_exact(lambda: net(forward), (12,))


def test_code_may_compute_the_same_for_one_row_in_another_way():
    def forward(m, x):
        x = m.norm(m.a(x))
        if len(x) == 1:  # a size that is written down holds before a cut alone
            return m.c(m.b(x[0].view(8)[None]))
        return m.c(m.b(x))

    network = find_groups(net(forward), (12,))
    assert network.one_row_apart and not network.kept_whole
    keep = {c.name: torch.arange(c.size) > 1 for c in network.hidden}
    assert not is_exact(network, keep, torch.randn(5, 12))
    del keep["a"]
    assert is_exact(network, keep, torch.randn(5, 12))


def test_the_layer_that_cannot_be_traced_is_named():
    class Positive(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    layers = [nn.Linear(12, 8), nn.Sequential(nn.ReLU(), Positive()), nn.Linear(8, 2)]
    says = r"Sequential could not be traced in its layer Positive '1\.1' \('gt' decides"
    with pytest.raises(ValueError, match=says):
        find_groups(nn.Sequential(*layers), (12,))


@pytest.mark.parametrize("registered", [False, True])
def test_a_layer_that_assigns_what_it_computes_is_named_and_left_alone(registered):
    class Following(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(8))
            if registered:
                self.register_buffer("mean", torch.zeros(8))
            else:
                self.mean = torch.zeros(8)

        def forward(self, x):
            self.mean = 0.9 * self.mean + 0.1 * x.mean(0)
            return self.weight * (x - self.mean)

    module = nn.Sequential(nn.Linear(12, 8), Following(), nn.Linear(8, 2))
    says = r"layer Following '1' \('mean' holds what it computes: change it in place\)"
    with pytest.raises(ValueError, match=says):
        find_groups(module, (12,))
    assert torch.equal(module[1].mean, torch.zeros(8))


@pytest.mark.parametrize(
    "keep",
    [
        lambda m, h: m.seen.append(h),
        lambda m, h: m.last.update(h=h),
        lambda m, h: setattr(m, "pair", (h, h)),
    ],
)
def test_a_layer_that_collects_what_it_computes_is_named_and_left_alone(keep):
    def forward(m, x):
        keep(m, h := m.a(x))
        return m.b(h)

    module = Net(forward, a=nn.Linear(12, 8), b=nn.Linear(8, 2))
    module.seen, module.last, module.pair = [], {}, None
    with pytest.raises(ValueError, match="holds what it computes"):
        find_groups(module, (12,))
    assert (module.seen, module.last, module.pair) == ([], {}, None)


def test_rows_are_not_gone_through_one_by_one():
    with pytest.raises(ValueError, match="'x' is gone through one by one"):
        find_groups(net(lambda m, x: m.c(torch.stack([m.b(m.a(r)) for r in x]))), (12,))


@pytest.mark.parametrize("rule", [lambda x: x.ndim == 2, lambda x: x.shape[1] == 13])
def test_a_module_that_does_not_run_is_told_so_and_not_that_it_cannot_be_traced(rule):
    def forward(m, x):
        assert rule(m.b(x))
        return m.b(x)

    with pytest.raises(ValueError, match=r"Net does not run on 12 inputs \(\w+"):
        find_groups(net(forward), (12,))


def test_what_the_code_made_and_changed_before_it_asks_is_known():
    def forward(m, x):
        assert x.ndim == 2
        x = m.a(x) * m.c.bias.sum() * torch.tensor([2.0])
        x.unsqueeze_(1)
        layer = m.b if x.ndim == 3 else m.c
        x = x.flatten(1) + torch.tensor([1.0])
        assert x.is_contiguous()
        assert round(x.nelement() / 3) > 0
        return m.c(layer(x))

    assert find_groups(net(forward), (12,)).hidden[-1].name == "b"


def test_defaults_of_forward_are_known():
    class Pooled(nn.Conv2d):
        def forward(self, x, size=(2, 3)):
            x = super().forward(x)
            return x.mean((2, 3)) if size[0] < size[1] and x.ndim == 4 else x

    assert find_groups(Pooled(3, 2, 3), (3, 6, 6)).n_outputs == 2


def test_asking_leaves_the_module_as_it_was():
    def forward(m, x):
        x = m.norm(m.a(x))
        return m.c(m.b(x if x.shape[0] > 0 else -x))

    module = net(forward).train()
    before = deepcopy(module.state_dict())
    find_groups(module, (12,))
    assert module.training
    assert module.norm.training
    torch.testing.assert_close(module.state_dict(), before)


def rows_by_len(m, x):
    return m.c(m.b(m.a(x)).relu().reshape(len(x), -1))


def sizes_unpacked(m, x):
    n, _ = x.size()
    m_rows, *_ = m.a(x).size()
    return m.c(m.b(m.a(x)).relu().view(n, -1).reshape(m_rows, -1))


def layers_made_in_forward(m, x):
    x = nn.Sequential(nn.ReLU(), nn.Identity())(m.norm(m.a(x)))
    return m.c(nn.Flatten()(m.b(x)))


def autocast(m, x):
    kind = x.device.type
    on = torch.is_autocast_enabled(kind)
    with torch.autocast(kind, enabled=on), torch.autocast("cpu", enabled=False):
        x = m.a(x)
    return m.c(m.b(x.clamp(min=torch.finfo(x.dtype).min)))


def assignment_of_all(m, x):
    h = m.a(x)
    out = h.new_zeros(len(h), 3, h.shape[1])
    out[:, 0], out[:, 1:] = h, h.relu()[:, None]
    out[:, 2] += h
    return m.c(m.b(out).sum(1))


def empty_to_begin_with(m, x):
    found = torch.tensor([])
    for h in (m.a(x), m.a(x).relu()):
        found = torch.cat([found, h[:, None]], dim=-2)
    return m.c(m.b(found).mean(1))


def sizes_of_numpy(m, x):
    rows, columns = np.array([len(x.shape), 4])
    return m.c(m.b(m.a(x).view(-1, rows, columns).transpose(1, 2).reshape(len(x), -1)))


@pytest.mark.parametrize(
    "forward",
    [
        rows_by_len,
        sizes_unpacked,
        layers_made_in_forward,
        autocast,
        assignment_of_all,
        empty_to_begin_with,
        sizes_of_numpy,
    ],
)
def test_code_as_people_write_it_loses_nothing(forward):
    network = find_groups(net(forward), (12,))
    assert network.kept_whole == {}
    assert_cuts_are_exact(lambda: net(forward), (12,))


def ceil_of_numpy(m, x):
    size = int(np.ceil(x.shape[2] / 2))
    return F.interpolate(m.a(x), size=(size, math.ceil(x.shape[3] / 2)))


def floor_and_root(m, x):
    size = math.floor(math.sqrt(x.shape[2])), math.trunc(x.shape[3] // 2)
    return F.interpolate(m.a(x), size=size)


def product_of_numpy(m, x):
    x = F.avg_pool2d(m.a(x), 2)
    return x.reshape(len(x), -1, np.prod(x.shape[2:]), 1)


def assignment_at_positions(m, x):
    x = m.a(x).clone()
    x[:, :, 0] = 0.0
    x[:, :, 1] = x[:, :, 2] * 2
    return x


@pytest.mark.parametrize(
    "forward",
    [ceil_of_numpy, floor_and_root, product_of_numpy, assignment_at_positions],
)
def test_positions_may_be_computed_and_assigned_to(forward):
    def make():
        layers = {"a": nn.Conv2d(3, 6, 1), "b": nn.Conv2d(6, 4, 1)}
        head = nn.Linear(4, 2)

        def run(m, x):
            return m.head(m.b(forward(m, x)).mean((2, 3)))

        return Net(run, head=head, **layers)

    assert find_groups(make(), (3, 6, 6)).kept_whole == {}
    assert_cuts_are_exact(make, (3, 6, 6))


def constant_in_a_unit(m, x):
    x = m.a(x)
    x[:, 0] = 0.0
    return m.c(m.b(x))


def parts_among_zeros(m, x):
    out, h = torch.zeros(len(x), 8, dtype=x.dtype), m.a(x)
    out[:, :4], out[:, 4:] = h[:, 4:], h[:, :4]
    return m.c(m.b(out))


def numbers_looked_up(m, x):
    x = m.a(x)
    x[x < 0] = 0.0
    return m.c(m.b(x))


def one_among_zeros(m, x):
    out, h = torch.zeros(len(x), 1, dtype=x.dtype), m.b(m.a(x))
    out[:, 0] = h[:, 0]
    return m.c(h + out)


def scale_by_numpy(m, x):
    x = m.a(x)
    return m.c(m.b(x / np.sqrt(x.shape[1])))


@pytest.mark.parametrize(
    ("forward", "kept"),
    [
        (constant_in_a_unit, "a"),
        (parts_among_zeros, "a"),
        (numbers_looked_up, "a"),
        (one_among_zeros, "b"),
        (scale_by_numpy, "a"),
    ],
)
def test_units_that_the_code_assigns_to_or_counts_are_kept_whole(forward, kept):
    assert list(find_groups(net(forward), (12,)).kept_whole) == [kept]
    assert_cuts_are_exact(lambda: net(forward), (12,))


class WithoutBias(nn.Module):
    """A layer whose code asks for a parameter that it was made without."""

    def __init__(self, *shape):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(*shape))
        self.register_parameter("bias", None)

    def forward(self, x):
        y = F.linear(x, self.weight)
        return y if self.bias is None else y + self.bias


def test_a_parameter_that_a_layer_is_without_is_none_for_its_code():
    def make():
        return nn.Sequential(WithoutBias(8, 12), nn.ReLU(), WithoutBias(2, 8))

    assert find_groups(make(), (12,)).kept_whole == {}
    assert_cuts_are_exact(make, (12,))


def test_a_parameter_that_code_asks_for_twice_is_one_node_of_its_first_name():
    def make():
        module = nn.Sequential(WithoutBias(12, 12), nn.ReLU(), WithoutBias(12, 12))
        module[2].weight = module[0].weight
        module.append(nn.Linear(12, 2))
        return module

    tensors = {a.tensor for c in find_groups(make(), (12,)).channels for a in c.axes}
    assert "0.weight" in tensors and "2.weight" not in tensors
    assert_cuts_are_exact(make, (12,))


class Passing(nn.Module):
    """Takes more than rows, and passes it on."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(12, 8), nn.Linear(8, 2)

    def scaled(self, x, *, scale=1.0, **options):
        return x * scale * options.get("times", 1.0)

    def forward(self, x, *args, by=2.0, **options):
        return self.b(self.scaled(self.a(x), *args, scale=by, **options))


class Around(nn.Module):
    """Passes on whatever it is given."""

    def __init__(self):
        super().__init__()
        self.inner = Passing()

    def forward(self, *args, **options):
        return self.inner(*args, **options)


@pytest.mark.parametrize(("module", "name"), [(Passing, "a"), (Around, "inner.a")])
def test_arguments_that_a_forward_does_not_name_are_none(module, name):
    network = find_groups(module(), (12,))
    assert {c.name: c.pinned or c.size for c in network.channels} == {
        "inputs": 12,
        name: 8,
    }
    assert_cuts_are_exact(module, (12,))
