import pytest
import torch
from torch import nn

from skjointprune._graph.labels import CONSTANT, Labels, varies


@pytest.fixture
def labels():
    return Labels(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)))


def test_new_labels_are_all_different(labels):
    a, b = labels.fresh(3), labels.fresh(2)
    assert len(set(a.tolist() + b.tolist())) == 5


def test_what_is_tied_has_one_root_whatever_the_order(labels):
    a = labels.fresh(6)
    for i, j in torch.randperm(6).view(3, 2).tolist():
        labels.tie(a[i], a[j])
    assert len(set(labels.roots(a).tolist())) == 3
    labels.tie(a[1:], a[:1])
    assert labels.roots(a).tolist() == [int(a[0])] * 6


def test_ties_reach_across_shapes(labels):
    a, b = labels.fresh(3), labels.fresh(3)
    labels.tie(a.view(1, 3, 1).expand(2, 3, 4), b.view(3, 1))
    assert labels.roots(a).equal(labels.roots(b))
    assert len(set(labels.roots(a).tolist())) == 3


def test_constants_are_tied_to_nothing(labels):
    a = labels.fresh(3)
    labels.tie(a, torch.full((3,), CONSTANT))
    assert labels.roots(a).equal(a)
    assert labels.roots(torch.tensor([CONSTANT])).tolist() == [CONSTANT]


def test_channels_tie_what_is_along_other_dimensions(labels):
    x = labels.fresh(12).view(1, 3, 4).expand(2, 3, 4)
    of_rows = labels.channels(x, 1)
    assert of_rows.shape == (3,)
    roots = labels.roots(x[0].flatten()).view(3, 4)
    assert roots.eq(roots[:, :1]).all()
    assert len(set(roots[:, 0].tolist())) == 3


def test_tied_parameters_are_known_under_their_first_name():
    one, other = nn.Linear(3, 3), nn.Linear(3, 3)
    other.weight = one.weight
    labels = Labels(nn.Sequential(one, other))
    assert labels.bind("1.weight", 0, "produce", None).equal(
        labels.bind("0.weight", 0, "produce", None)
    )
    assert [tensor for tensor, _ in labels.bound] == ["0.weight"]


def test_parameters_and_buffers_are_there_and_nothing_else(labels):
    assert labels.has("0.weight")
    assert labels.has("1.running_mean")
    assert not labels.has("0.scale")


def test_a_reason_is_that_of_all_that_is_tied(labels):
    a = labels.fresh(4)
    labels.tie(a[0], a[1])
    labels.pin(a[1:2], "first")
    labels.pin([(a[:1],), {"x": a[1:2]}], "second")
    assert labels.reasons_of_roots() == {int(a[0]): "first"}
    assert labels.is_pinned(a[:1].expand(2, 3))
    assert not labels.is_pinned(a[:2])
    assert not labels.is_pinned(a[3:])


def test_repeats_do_not_vary():
    x = torch.arange(3)
    assert varies(x, 0)
    assert not varies(x.view(1, 3).expand(2, 3), 0)
    assert not varies(x.view(1, 3).repeat(2, 1), 0)
    assert varies(x.view(1, 3).repeat(2, 1), 1)
    assert not varies(x[:1], 0)
