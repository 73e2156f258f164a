import time

import numpy as np
import pytest
import torch
from _streams import read_epoch

from skjointprune._data import streamed_table
from skjointprune._data.columns import Columns
from skjointprune._data.readers import slices
from skjointprune._data.sources import ArraySource
from skjointprune._data.streamed_table import Encoding, StreamedTable
from skjointprune._data.tables import Table

N = 20_000


@pytest.fixture(autouse=True)
def shuffle_a_tenth(monkeypatch):
    monkeypatch.setattr(streamed_table, "MOST_TO_SHUFFLE", N // 10)
    monkeypatch.setattr(streamed_table, "LEAST_TO_SHUFFLE", N // 10)


@pytest.fixture
def make():
    """Make a table whose columns are the number of the row, and others after it."""

    def of_rows(n_columns=3):
        X = np.arange(N, dtype="float32")[:, None] + np.zeros(n_columns, "float32")
        X += np.arange(n_columns) / 16
        y = np.arange(N) * 1.0
        encoding = Encoding(Columns(n_columns), None, {}, None, None, 1.0)
        some = torch.from_numpy(X[:50])
        sample = Table(some, torch.zeros(50, 1), torch.ones(50))
        none = np.empty(0, dtype=int)
        source = ArraySource(X, y, None)
        return StreamedTable(source, encoding, none, np.empty((0, 1)), N, sample)

    return of_rows


def test_each_row_comes_once_with_its_target(make):
    X, y, weight = read_epoch(make(), 256)
    assert sorted(y[:, 0].tolist()) == list(range(N))
    np.testing.assert_array_equal(X[:, 0], y[:, 0])
    assert (weight == 1).all()


def test_batches_have_the_sizes_that_are_asked_for(make):
    positions = slices(N, 999)
    sizes = [len(X) for X, _ in make().shuffled(positions)]
    assert sizes == [rows.stop - rows.start for rows in positions]


def test_rows_of_a_batch_are_from_many_places(make, monkeypatch):
    monkeypatch.setattr("skjointprune._data.sources.ROWS_OF_A_PIECE", 100)
    for X, _ in make().shuffled(slices(N, 250)):
        assert len(np.unique(X[:, 0].numpy() // 100)) > 10


def test_an_order_is_drawn_for_each_epoch_from_the_seed(make):
    torch.manual_seed(3)
    first, second = (read_epoch(make())[1] for _ in range(2))
    torch.manual_seed(3)
    again = read_epoch(make())[1]
    assert (first != second).any()
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("shadows", [False, True])
def test_what_comes_does_not_depend_on_the_speed_of_training(make, shadows):
    def train(pause):
        torch.manual_seed(0)
        rows = make(6)
        if shadows:
            rows = rows.with_shadows([np.array([0]), np.array([3, 4])])
        seen = []
        for i, (X, (y, _)) in enumerate(rows.shuffled(slices(N, 1000))):
            seen.append(torch.cat([X[:, -2:], y], dim=1))
            time.sleep(pause)
            if i in (2, 7):
                rows.keep_inputs(torch.arange(1, X.shape[1]))
        return torch.cat(seen)

    assert torch.equal(train(0.0), train(0.02))


def test_columns_go_at_once_and_are_then_not_read(make, monkeypatch):
    rows = make(8)
    read = []
    blocks = ArraySource.blocks

    def note(self, piece, columns, codes):
        read.append(list(columns))
        return blocks(self, piece, columns, codes)

    monkeypatch.setattr(ArraySource, "blocks", note)
    batches = rows.shuffled(slices(N, 500))
    next(batches)
    rows.keep_inputs(torch.tensor([1, 4, 6]))
    rows.keep_inputs(torch.tensor([0, 2]))
    for X, (y, _) in batches:
        expected = y + torch.tensor([1 / 16, 6 / 16])
        assert torch.equal(X, expected.float())
    assert read[0] == list(range(8)) and read[-1] == [1, 6]


def test_views_lose_columns_on_their_own(make):
    rows = make()
    view = rows.behind(None)
    view.keep_inputs(torch.tensor([2]))
    assert next(view.shuffled([slice(0, N)]))[0].shape == (N, 1)
    assert next(rows.shuffled([slice(0, N)]))[0].shape == (N, 3)
    assert view.sample[:2][0].shape == (2, 1) and rows.sample[:2][0].shape == (2, 3)


def test_rows_have_no_order_to_ask_for(make):
    with pytest.raises(TypeError, match="ask their sample"):
        make().batches([slice(0, 2)])
