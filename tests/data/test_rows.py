"""Both classes of rows: of a table, and of images."""

import numpy as np
import pytest
import torch

from skjointprune._data.images import Images
from skjointprune._data.rows import batches_in_order, n_batches
from skjointprune._data.tables import Table
from skjointprune._pruning.gates import InputGates

SHAPES = {Table: (5,), Images: (5, 3, 4)}
ALL = np.arange(7)


@pytest.fixture(params=SHAPES, ids=lambda kind: kind.__name__)
def kind(request):
    return request.param


def gates_for(kind):
    kinds = ("channel", "row") if kind is Images else ("channel",)
    return InputGates(kinds, SHAPES[kind])


def numbers(kind):
    return torch.randn(7, *SHAPES[kind], generator=torch.Generator().manual_seed(0))


def make(kind):
    X, y, weight = numbers(kind), torch.arange(7), torch.linspace(1, 2, 7)
    if kind is Table:
        return Table(X, y, weight)
    return Images(X, ALL, y, weight, gates=gates_for(kind))


def test_a_batch_is_of_the_rows_asked_for(kind):
    rows = make(kind)
    assert len(rows) == 7
    at = np.array([4, 1])
    for X, (y, weight) in (rows[at], *rows.batches([at])):
        torch.testing.assert_close(X, numbers(kind)[at])
        assert torch.equal(y, rows.y[at]) and torch.equal(weight, rows.weight[at])


def test_batches_come_in_the_order_of_their_positions(kind):
    positions = [np.array([6, 2]), slice(1, 4), np.array([0, 5])]
    got = [X for X, _ in make(kind).batches(positions)]
    for X, at in zip(got, positions, strict=True):
        torch.testing.assert_close(X, numbers(kind)[at])


@pytest.mark.parametrize("at", [slice(0, 3), np.arange(3)])
def test_a_batch_may_be_changed(kind, at):
    rows = make(kind)
    rows[at][0].detach().zero_()
    torch.testing.assert_close(rows[at][0], numbers(kind)[at])


def test_inputs_that_are_dropped_twice_are_counted_among_those_left(kind):
    rows = make(kind)
    rows.keep_inputs(torch.tensor([0, 2, 3, 4]))
    rows.keep_inputs(torch.tensor([1, 3]))
    torch.testing.assert_close(rows[ALL][0], numbers(kind)[:, [2, 4]])


def test_a_view_loses_inputs_on_its_own(kind):
    rows = make(kind)
    rows.keep_inputs(torch.tensor([0, 1, 3, 4]))
    before = rows[ALL][0]
    view = rows.behind(gates_for(kind))
    torch.testing.assert_close(view[ALL][0], before)
    view.keep_inputs(torch.tensor([0, 2]))
    torch.testing.assert_close(rows[ALL][0], before)
    rows.keep_inputs(torch.tensor([3]))
    torch.testing.assert_close(view[ALL][0], before[:, [0, 2]])
    torch.testing.assert_close(rows[ALL][0], before[:, [3]])


def test_a_view_has_the_same_targets_and_teacher(kind):
    rows = make(kind)
    rows.learn_from(lambda X: X.flatten(1)[:, :2])
    view = rows.behind(gates_for(kind))
    assert view.y is rows.y and view.weight is rows.weight
    assert view.teacher is rows.teacher


def test_images_are_behind_the_gates_of_their_view():
    rows, gates = make(Images), gates_for(Images)
    view = rows.behind(gates)
    gates.close("image rows", torch.tensor([True, False, True]))
    assert (view[ALL][0][:, :, 1] == 0).all()
    torch.testing.assert_close(rows[ALL][0], numbers(Images))
    shape = SHAPES[Images]
    assert view.count_inputs(shape) == 5 * 2 * 4
    assert rows.count_inputs(shape) == 5 * 3 * 4


def test_a_view_is_cropped_on_its_own():
    rows = make(Images)
    view = rows.behind(gates_for(Images))
    view.crop(torch.tensor([0, 2]), torch.tensor([1]), mask=None)
    torch.testing.assert_close(view[ALL][0], numbers(Images)[:, :, [0, 2]][..., [1]])
    torch.testing.assert_close(rows[ALL][0], numbers(Images))


def test_a_teacher_is_kept_for_each_row(kind):
    rows = make(kind)
    assert rows.teacher is None
    asked = []

    def outputs(X):
        asked.append(len(X))
        return X.flatten(1)[:, :3]

    rows.learn_from(outputs)
    assert sum(asked) == 7
    expected = numbers(kind).flatten(1)[:, :3]
    torch.testing.assert_close(rows.teacher, expected)
    at = np.array([5, 0])
    ((X, (y, weight, taught)),) = rows.batches([at], with_teacher=True)
    torch.testing.assert_close(taught, expected[at])
    torch.testing.assert_close(X, numbers(kind)[at])
    assert torch.equal(y, rows.y[at]) and torch.equal(weight, rows.weight[at])


def test_what_is_taught_stays_as_inputs_go(kind):
    rows = make(kind)
    rows.learn_from(lambda X: X.flatten(1).sum(dim=1, keepdim=True))
    rows.keep_inputs(torch.tensor([1]))
    ((X, (_, _, taught)),) = rows.batches([ALL], with_teacher=True)
    assert X.shape[1] == 1
    torch.testing.assert_close(taught[:, 0], numbers(kind).flatten(1).sum(dim=1))


def test_all_inputs_of_a_network_are_counted(kind):
    rows = make(kind)
    assert rows.count_inputs(SHAPES[kind]) == np.prod(SHAPES[kind])
    rows.keep_inputs(torch.tensor([0, 3]))
    assert rows.count_inputs((2, *SHAPES[kind][1:])) == 2 * np.prod(SHAPES[kind][1:])


@pytest.mark.parametrize(
    ("n_rows", "size", "n"),
    [(1, 8, 1), (2, 1, 1), (5, 1, 2), (8, 8, 1), (9, 8, 2), (17, 8, 3), (7, 100, 1)],
)
def test_batches_are_as_few_as_their_size_allows_and_none_is_one_row(n_rows, size, n):
    assert n_batches(n_rows, size) == n
    cut = batches_in_order(n_rows, size)
    assert len(cut) == n
    rows = np.arange(n_rows)
    np.testing.assert_array_equal(np.concatenate([rows[at] for at in cut]), rows)
    sizes = [len(rows[at]) for at in cut]
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) > 1 or n_rows == 1
