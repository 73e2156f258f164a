import numpy as np
import pytest
import torch
from _helpers import table
from torch import nn

from skjointprune._data.tables import (
    MOST_ROWS_AT_ONCE,
    NUMBERS_AT_ONCE,
    Table,
    rows_at_once,
)


def test_columns_that_go_little_by_little_are_those_that_go_at_once():
    data, X = table(d=20), None
    X = data.X.clone()
    left = torch.arange(20)
    for kept in ([0, *range(2, 20)], list(range(3, 19)), [1, 2, 5, 9], [0, 3]):
        data.keep_inputs(torch.tensor(kept))
        left = left[kept]
        rows, _ = data[np.array([4, 1])]
        assert torch.equal(rows, X[[4, 1]][:, left])
        assert torch.equal(data[:3][0], X[:3][:, left])
    assert data.X.shape[1] == 2


class Halved(nn.Module):
    """Changes what it is given, or does not."""

    def __init__(self, n_features_in, n_outputs, in_place):
        super().__init__()
        self.in_place = in_place
        self.a, self.b = nn.Linear(n_features_in, 16), nn.Linear(16, n_outputs)

    def forward(self, X):
        X = X.mul_(0.5) if self.in_place else X.mul(0.5)
        return self.b(self.a(X).relu())


@pytest.mark.parametrize("distillation", [0.0, 0.5])
def test_a_module_may_change_the_rows_it_is_given(quick, planted, distillation):
    X, y = planted[0].astype(np.float32), planted[1]
    before = X.copy()
    params = {"module": Halved, "distillation": distillation, "alpha": 0.05}
    one, other = (
        quick(module__in_place=in_place, **params).fit(X, y)
        for in_place in (True, False)
    )
    assert one.report_ == other.report_
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    np.testing.assert_array_equal(X, before)


def test_rows_of_wide_tables_are_run_few_at_a_time():
    assert rows_at_once(10) == MOST_ROWS_AT_ONCE
    assert rows_at_once(5_000) * 5_000 <= NUMBERS_AT_ONCE
    assert rows_at_once(10**9) == 16


def test_more_rows_are_run_at_once_as_columns_go():
    n = 2 * NUMBERS_AT_ONCE // MOST_ROWS_AT_ONCE
    table = Table(torch.zeros(3, n), torch.zeros(3), torch.ones(3))
    assert table.batch_size_to_score == MOST_ROWS_AT_ONCE // 2
    for kept in (n - 1, n // 2):
        table.keep_inputs(torch.arange(kept))
        assert table.batch_size_to_score == NUMBERS_AT_ONCE // kept
