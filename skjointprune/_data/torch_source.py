"""`TorchSource`: rows, or batches of rows, of a dataset of torch."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
from sklearn.utils.validation import check_consistent_length
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from .check_images import as_array
from .readers import slices
from .sources import (
    ROWS_OF_A_BLOCK,
    ROWS_OF_A_PIECE,
    Block,
    LevelCodes,
    Source,
    encode_columns,
    encode_targets,
)

Rows = tuple[np.ndarray, Any, Any]  # X (rows, columns), y and weights or None


def as_numpy(value: Any) -> np.ndarray:
    """Return a tensor, an array or a number as an array."""
    value = as_array(value)
    return value.numpy() if isinstance(value, Tensor) else np.asarray(value)


def is_dataset_of_rows(X: Any) -> bool:
    """Tell whether X is a dataset of torch whose items are rows, or batches of rows."""
    if not isinstance(X, Dataset):
        return False
    first = _first(X)
    if first is None:
        return False
    row, *targets = first if isinstance(first, tuple | list) else (first,)
    n_dims = getattr(row, "ndim", None)
    return n_dims == 1 or (n_dims == 2 and _is_batch(row, targets))


def _refuse_none_left(rows: Sequence[Any]) -> None:
    if not any(rows):
        raise ValueError(
            "An IterableDataset must give its rows each time that it is gone through. "
            "Got none the second time; let `__iter__` begin anew."
        )


def _first(dataset: Dataset) -> Any:
    if isinstance(dataset, IterableDataset):
        return next(iter(dataset), None)
    return dataset[0] if len(dataset) else None  # type: ignore[arg-type]


def _is_batch(row: Any, targets: Sequence[Any]) -> bool:
    """Tell a batch of rows from an image without colours: it has as many targets."""
    shapes = [np.shape(as_array(target)) for target in targets]
    return bool(shapes) and all(s[:1] == (len(row),) for s in shapes)


class TorchSource(Source):
    """A dataset whose items are (X, y) or (X, y, weight), of a row or of a batch.

    Parameters
    ----------
    dataset : Dataset or IterableDataset
        The latter gives the same rows in the same order each time.
    y, weight : array-like or None
        In place of those that the items hold, where these are rows of a dataset that
        has a length.
    """

    def __init__(self, dataset: Dataset, y: Any, weight: Any):
        self.dataset = dataset
        self.iterable = isinstance(dataset, IterableDataset)
        first = _first(dataset)
        paired = isinstance(first, tuple | list)
        row, *of_item = first if paired else (first,)
        self.in_batches = row.ndim == 2
        indexed = not (self.iterable or self.in_batches)
        if not indexed and not (y is None and weight is None):
            raise ValueError(
                "Targets and weights must come with the rows of an IterableDataset, "
                "or with batches. Got y or `sample_weight` as well; let the items be "
                "tuples (X, y) or (X, y, weight)."
            )
        self.y = None if y is None else np.asarray(y)
        self.weight = weight
        self.n_columns = row.shape[-1]
        if self.y is not None:
            check_consistent_length(range(len(dataset)), y)  # type: ignore[arg-type]
            self.shape_of_y = self.y.shape[1:]
        elif of_item:
            shape = np.shape(as_array(of_item[0]))
            self.shape_of_y = shape[1:] if self.in_batches else shape
        self.has_targets = self.y is not None or bool(of_item)
        if self.iterable:
            self.pieces = [slice(None)]
        else:
            size = 1 if self.in_batches else ROWS_OF_A_PIECE
            self.pieces = slices(len(dataset), size)  # type: ignore[arg-type]

    @cached_property
    def lengths(self) -> np.ndarray:  # type: ignore[override]
        """How many rows each piece has; batches are read once to count them."""
        if self.iterable or self.in_batches:
            read = [sum(len(X) for X, *_ in self._read(p)) for p in self.pieces]
            _refuse_none_left(read)
            return np.array(read)
        return np.array([rows.stop - rows.start for rows in self.pieces])

    @property
    def pieces_at_once(self) -> int:
        """How many pieces to read in turn: each is one block."""
        return 1

    def _items(self, piece: slice) -> Iterable[Any]:
        if self.iterable:
            return iter(self.dataset)
        return (self.dataset[i] for i in range(piece.start, piece.stop))

    def _read(self, piece: slice) -> Iterator[Rows]:
        """Read a piece by blocks; X may be written to."""
        items = iter(self._items(piece))
        size = 1 if self.in_batches else ROWS_OF_A_BLOCK
        while held := [
            item if isinstance(item, tuple | list) else (item,)
            for item in islice(items, size)
        ]:
            X, *targets = self._joined(held)
            if X.dtype.kind not in "fiub" or X.shape[1:] != (self.n_columns,):
                raise ValueError(
                    f"A dataset must return rows of {self.n_columns} numbers, as its "
                    f"first is. Got an array of {X.dtype} of shape {X.shape[1:]}; look "
                    "at what it returns."
                )
            kind = np.float32 if X.dtype.itemsize <= 4 else np.float64
            y, weight = [*targets, None, None][:2]
            yield X.astype(kind), y, weight

    def _joined(self, items: list[Any]) -> list[np.ndarray]:
        """Return what some items hold: X, y and weights, all in one array each."""
        first = int(self.in_batches)  # dimension of one row
        shapes = {(len(i), *as_numpy(i[0]).shape[first:]) for i in items}
        if len(shapes) > 1:
            raise ValueError(
                "All items of a dataset must have as many parts as the first, and rows "
                "of as many numbers. Got items of (parts, numbers) "
                f"{sorted(shapes)[:3]}; look at what it returns."
            )
        join = np.concatenate if self.in_batches else np.stack
        return [join([as_numpy(v) for v in part]) for part in zip(*items, strict=True)]

    def blocks(
        self, piece: int, columns: Sequence[int], codes: LevelCodes
    ) -> Iterator[Block]:
        """Read a piece: all columns are read, and some returned."""
        rows = self.pieces[piece]
        for X, y, weight in self._read(rows):
            y = y if self.y is None else self.y[rows]
            weight = weight if self.weight is None else self.weight[rows]
            if len(columns) < self.n_columns:
                X = X[:, columns]
            yield Block(
                encode_columns(X, columns, codes),
                encode_targets(y, codes),
                np.ones(len(X)) if weight is None else weight.astype(np.float64),
            )

    def rows(self) -> Iterator[np.ndarray]:
        """Yield X in order, some rows at a time."""
        return (X for piece in self.pieces for X, *_ in self._read(piece))

    def head(self, n: int) -> np.ndarray:
        """Return the first rows."""
        X, *_ = next(self._read(self.pieces[0]))
        return X[:n]

    def whole(self) -> tuple[Any, Any, Any]:
        """Return arrays."""
        read = [rows for piece in self.pieces for rows in self._read(piece)]
        _refuse_none_left([len(X) for X, *_ in read])
        X, y, weight = (
            None if parts[0] is None else np.concatenate(parts)
            for parts in zip(*read, strict=True)
        )
        y = y if self.y is None else self.y
        return X, y, weight if self.weight is None else self.weight
