"""Rows of a sparse matrix, which are dense by batch only."""

from collections.abc import Iterator, Sequence
from copy import copy
from typing import Any

import numpy as np
import torch
from scipy.sparse import csc_matrix, csr_matrix, hstack
from torch import Tensor

from .._pruning.gates import InputGates
from .prepare import Scaling
from .rows import Rows, to_device
from .tables import Table, rows_at_once


class SparseTable(Rows):
    """Rows of a CSR matrix, with targets and weights on a device.

    A batch is made dense, standardised and put on the device when it is due. So the
    memory is that of the stored numbers. Once what is left of the columns is as small
    when it is dense, it becomes a `Table`.
    """

    exchangeable_inputs = True

    def __init__(
        self, X: csr_matrix, y: Tensor, weight: Tensor, scaling: Scaling | None
    ):
        self.X, self.y, self.weight = X, y, weight
        self.mean = self.scale = None
        if scaling is not None:
            self.mean = scaling.mean.numpy().astype(X.dtype)
            self.scale = scaling.scale.numpy().astype(X.dtype)
        self._most_bytes = _bytes_of(X)
        self._dense: Table | None = None

    def __len__(self) -> int:
        return self.X.shape[0] if self._dense is None else len(self._dense)

    @property
    def batch_size_to_score(self) -> int:  # type: ignore[override]
        """How many rows to run at once where nothing is trained."""
        if self._dense is not None:
            return self._dense.batch_size_to_score
        return rows_at_once(self.X.shape[1])

    def __getitem__(self, rows):
        if self._dense is not None:
            return self._dense[rows]
        return self._make_dense(rows), (self.y[rows], self.weight[rows])

    def _make_dense(self, rows) -> Tensor:
        if isinstance(rows, Tensor):
            rows = rows.cpu().numpy()
        X = self.X[rows].toarray()
        if self.mean is not None:
            X -= self.mean
            X /= self.scale
        return torch.from_numpy(X.astype(np.float32, copy=False)).to(self.y.device)

    def batches(
        self, positions: Sequence[Any], *, with_teacher: bool = False
    ) -> Iterator[Any]:
        """Return a batch for each item of `positions`."""
        on_device = to_device(positions, self.y.device)
        for rows, at in zip(positions, on_device, strict=True):
            dense = self._dense
            X = self._make_dense(rows) if dense is None else dense[at][0]
            if not with_teacher:
                yield X, (self.y[at], self.weight[at])
                continue
            assert isinstance(self.teacher, Tensor)
            yield X, (self.y[at], self.weight[at], self.teacher[at])

    def behind(self, gates: InputGates) -> "SparseTable":
        """Return the same rows, which lose inputs on their own."""
        new = copy(self)
        new._dense = copy(self._dense)
        return new

    def with_shadows(self, groups: Sequence[Any]) -> "SparseTable":
        """Return rows with copies of groups of columns, each in an order of its own."""
        n = len(self)
        by_column = csc_matrix(self.X)
        shadows = []
        for columns in groups:
            shadow = by_column[:, columns]
            order = torch.randperm(n, device=self.y.device).cpu().numpy()
            place = np.empty_like(order)  # of each row among the shuffled ones
            place[order] = np.arange(n)
            shadow.indices = place[shadow.indices].astype(shadow.indices.dtype)
            shadow.has_sorted_indices = False
            shadows.append(shadow)
        new = SparseTable(
            csr_matrix(hstack([by_column, *shadows], format="csr")),
            self.y,
            self.weight,
            None,
        )
        if self.mean is not None and self.scale is not None:
            copied = np.concatenate([np.empty(0, dtype=int), *groups])
            new.mean = np.concatenate([self.mean, self.mean[copied]])
            new.scale = np.concatenate([self.scale, self.scale[copied]])
        return new

    def keep_inputs(self, kept: Tensor) -> None:
        """Keep some of the present columns, given by their positions."""
        if self._dense is not None:
            self._dense.keep_inputs(kept)
            return
        columns = kept.cpu().numpy()
        if len(columns) == self.X.shape[1]:
            return
        self.X = self.X[:, columns]
        if self.mean is not None and self.scale is not None:
            self.mean, self.scale = self.mean[columns], self.scale[columns]
        if 4 * np.prod(self.X.shape) <= self._most_bytes:
            self._dense = Table(self._make_dense(slice(None)), self.y, self.weight)
            self.X = self.X[:0]


def _bytes_of(X: csr_matrix) -> int:
    return X.data.nbytes + X.indices.nbytes + X.indptr.nbytes
