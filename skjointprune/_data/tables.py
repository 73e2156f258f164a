"""Rows of a table on a device, which lose columns on the way."""

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from .._pruning.gates import InputGates


class Table(Dataset):
    """Rows on one device, with targets and weights, indexed by whole batches.

    Columns can be dropped on the way. The copy that this takes is put off until it
    pays: before, the columns that are left are picked from each batch.
    """

    batch_size_to_score = 4096

    def __init__(self, X: Tensor, y: Tensor, weight: Tensor):
        self.X, self.y, self.weight = X, y, weight
        self.teacher: Tensor | None = None  # its outputs, (rows, outputs)
        # only images have these
        self.mask: Tensor | None = None
        self.gates: InputGates | None = None
        self._columns: Tensor | None = None

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, rows):
        X = self.X[rows]
        if self._columns is not None:
            X = X.index_select(-1, self._columns)
        elif isinstance(rows, slice):  # no view: the code may change what it is given
            X = X.clone()
        return X, (self.y[rows], self.weight[rows])

    def batches(self, at: Sequence[Any], taught: bool = False) -> Iterator[Any]:
        """Return batches of some rows each; with the outputs of the teacher."""
        return map(self._with_teacher if taught else self.__getitem__, at)

    def _with_teacher(self, rows):
        X, of = self[rows]
        assert self.teacher is not None
        return X, (*of, self.teacher[rows])

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
