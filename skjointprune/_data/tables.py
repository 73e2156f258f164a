"""Rows of a table on a device, which lose columns on the way."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from .rows import Rows, to_device

MOST_ROWS_AT_ONCE = 4096  # where nothing is trained
NUMBERS_AT_ONCE = 2**17  # of a table, where nothing is trained


def rows_at_once(n_columns: int) -> int:
    """Return how many rows of a table to run at once where nothing is trained."""
    return min(MOST_ROWS_AT_ONCE, max(16, NUMBERS_AT_ONCE // n_columns))


class Table(Rows):
    """Rows on one device, with targets and weights.

    The copy that dropping columns takes is put off until it pays: before, the columns
    that are left are picked from each batch.
    """

    exchangeable_inputs = True

    def __init__(self, X: Tensor, y: Tensor, weight: Tensor):
        self.X, self.y, self.weight = X, y, weight
        self._columns: Tensor | None = None

    def __len__(self) -> int:
        return len(self.X)

    @property
    def batch_size_to_score(self) -> int:  # type: ignore[override]
        """How many rows to run at once where nothing is trained."""
        columns = self._columns
        return rows_at_once(self.X.shape[1] if columns is None else len(columns))

    def __getitem__(self, rows):
        X = self.X[rows]
        if self._columns is not None:
            X = X.index_select(-1, self._columns)
        elif isinstance(rows, slice):  # no view: the code may change what it is given
            X = X.clone()
        return X, (self.y[rows], self.weight[rows])

    def batches(
        self, positions: Sequence[Any], *, with_teacher: bool = False
    ) -> Iterator[Any]:
        """Return a batch for each item of `positions`."""
        read = self._with_teacher if with_teacher else self.__getitem__
        return map(read, to_device(positions, self.y.device))

    def _with_teacher(self, rows):
        X, targets = self[rows]
        assert isinstance(self.teacher, Tensor)
        return X, (*targets, self.teacher[rows])

    def with_shadows(self, groups: Sequence[Any]) -> "Table":
        """Return rows with copies of groups of columns, each in an order of its own."""
        n = len(self)
        shadows = [
            self.X[torch.randperm(n, device=self.X.device)[:, None], columns]
            for columns in groups
        ]
        return Table(torch.cat([self.X, *shadows], dim=1), self.y, self.weight)

    def keep_inputs(self, kept: Tensor) -> None:
        """Keep some of the present columns, given by their positions."""
        kept = kept.to(self.X.device)
        columns = kept if self._columns is None else self._columns[kept]
        if len(columns) == self.X.shape[1]:
            return
        if len(columns) < 0.7 * self.X.shape[1]:
            self.X, self._columns = self.X[:, columns], None
        else:
            self._columns = columns
