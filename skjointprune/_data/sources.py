"""`Source`: a table that is not in memory, with its targets, read piece by piece."""

import math
import mmap
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.validation import _num_samples, check_consistent_length

from .columns import UNKNOWN
from .readers import slices
from .targets import refuse_no_numbers

ROWS_OF_A_BLOCK = 2**14
ROWS_OF_A_PIECE = 2**12  # of an array: few, so that many places meet in a batch
MOST_LEVELS_SEEN = 2**17  # of a category
Y = -1  # stands for the targets, where columns are given by their positions


@dataclass(frozen=True)
class Block:
    """Some neighbouring rows.

    Attributes
    ----------
    X : ndarray of shape (rows, columns)
        Of the columns that were asked for; categories as codes, NaN where a value is
        missing. May be written to.
    y : ndarray of shape (rows, outputs), float64
        Numbers, or codes of labels.
    weight : ndarray of shape (rows,), float64
    """

    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray

    def take(self, rows: np.ndarray) -> "Block":
        """Return some rows, given by a mask; the block itself where it is all."""
        if rows.all():
            return self
        return Block(self.X[rows], self.y[rows], self.weight[rows])


@dataclass(frozen=True)
class LevelCodes:
    """The code of each level, of categories and of the targets of classes.

    Attributes
    ----------
    known : dict of int to dict
        By the position of the column: the code of each level.
    others : dict of int to float, or None
        The code of all other levels. None gives each new level the next code.
    """

    known: dict[int, dict[Any, int]]
    others: dict[int, float] | None = None

    def __contains__(self, position: int) -> bool:
        return position in self.known

    def encode(
        self, position: int, levels: Sequence[Any], indices: np.ndarray
    ) -> np.ndarray:
        """Return codes, (rows,), of a column given as indices of levels; -1 is a gap.

        Raises
        ------
        ValueError
            If there are too many levels to remember.
        """
        known = self.known[position]
        levels = [None if level != level else level for level in levels]  # NaN
        if self.others is None:
            for level in levels:
                if level is not None:
                    known.setdefault(level, len(known))
            if len(known) > MOST_LEVELS_SEEN:
                _refuse_levels(position)
        other = UNKNOWN if self.others is None else self.others[position]
        codes = [math.nan if v is None else known.get(v, other) for v in levels]
        return np.array([*codes, math.nan], dtype=float)[indices]


def _refuse_levels(position: int) -> None:
    what = "y" if position == Y else f"The column {position} of X"
    remedy = (
        "use a JointPruneRegressor for numbers"
        if position == Y
        else "leave it out of `categorical_features`, or out of X"
    )
    raise ValueError(f"{what} holds more than {MOST_LEVELS_SEEN} levels; {remedy}.")


class Source(ABC):
    """A table, with targets and weights, that is read piece by piece.

    A piece is a range of rows that can be read without the ones before.

    Attributes
    ----------
    names : list of str or None
        Of the columns.
    n_columns : int
    lengths : ndarray of int of shape (pieces,)
        How many rows each piece has.
    categories : tuple of int
        Columns that hold categories by their type.
    shape_of_y : tuple of int
        Of the targets of a row: () or (outputs,).
    """

    names: list[str] | None = None
    n_columns: int
    lengths: np.ndarray
    categories: tuple[int, ...] = ()
    shape_of_y: tuple[int, ...] = ()

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return int(self.lengths.sum())

    @property
    def pieces_at_once(self) -> int:
        """How many pieces to read in turn, so that their rows mix."""
        return 8

    @abstractmethod
    def blocks(
        self, piece: int, columns: Sequence[int], codes: LevelCodes
    ) -> Iterator[Block]:
        """Read a piece: some columns, targets and weights, by blocks in order."""

    @abstractmethod
    def head(self, n: int) -> Any:
        """Return the first rows of X, as a frame or an array."""

    @abstractmethod
    def whole(self) -> tuple[Any, Any, Any]:
        """Return X, y and weights in memory."""


def factorise(column: np.ndarray) -> tuple[list[Any], np.ndarray]:
    """Return the levels of an array, and the index of each value; -1 where missing."""
    levels, indices = np.unique(column, return_inverse=True)
    return levels.tolist(), indices.reshape(len(column))


class ArraySource(Source):
    """A memory-mapped array of numbers, with targets and weights as arrays."""

    def __init__(self, X: np.ndarray, y: Any, weight: Any):
        check_consistent_length(X, y, weight)
        self.y = y.toarray() if issparse(y) else np.asarray(y)
        self.X, self.weight = X, weight
        self.n_columns = X.shape[1]
        self.shape_of_y = self.y.shape[1:]
        self.pieces = slices(_num_samples(X), ROWS_OF_A_PIECE)
        self.lengths = np.array([rows.stop - rows.start for rows in self.pieces])

    @property
    def pieces_at_once(self) -> int:
        """How many pieces to read in turn: each is one block."""
        return 1

    def blocks(
        self, piece: int, columns: Sequence[int], codes: LevelCodes
    ) -> Iterator[Block]:
        """Read a piece, which is one block."""
        rows = self.pieces[piece]
        X = np.empty((rows.stop - rows.start, 0))
        if len(columns):
            X = rows_of_map(self.X, rows)
        if len(columns) < X.shape[1]:
            X = X[:, columns]
        yield Block(
            encode_columns(X, columns, codes),
            encode_targets(self.y[rows], codes),
            np.ones(len(X)) if self.weight is None else self.weight[rows],
        )

    def head(self, n: int) -> np.ndarray:
        """Return the first rows."""
        return rows_of_map(self.X, slice(0, n))

    def whole(self) -> tuple[Any, Any, Any]:
        """Return all as it is: numpy reads what is mapped."""
        return self.X, self.y, self.weight


def rows_of_map(X: np.ndarray, rows: slice) -> np.ndarray:
    """Return a copy of rows of a memory-mapped array, as floats of 4 or 8 bytes.

    What was read stays with the process until the system needs the memory. So that a
    fit does not seem to need that of the whole file, a map that is only read lets go.
    """
    kind = np.float32 if X.dtype.itemsize <= 2 or X.dtype == "float32" else np.float64
    read = np.array(X[rows], dtype=kind, order="C")
    mapped = getattr(X, "_mmap", None)
    only_read = getattr(X, "mode", None) == "r" and hasattr(mmap, "MADV_DONTNEED")
    if mapped is not None and only_read:
        mapped.madvise(mmap.MADV_DONTNEED)
    return read


def encode_columns(
    X: np.ndarray, columns: Sequence[int], codes: LevelCodes
) -> np.ndarray:
    """Put codes in the place of the levels of categories, in place where it can."""
    for i, position in enumerate(columns):
        if position in codes:
            X = X.astype(np.float64, copy=False)  # whole numbers beyond 2**24, too
            X[:, i] = codes.encode(position, *factorise(X[:, i]))
    return X


def encode_targets(y: np.ndarray, codes: LevelCodes) -> np.ndarray:
    """Return numbers, or codes of labels, (rows, outputs)."""
    if Y not in codes:
        refuse_no_numbers(y)
    else:
        y = codes.encode(Y, *factorise(y))
    return y.reshape(len(y), -1).astype(np.float64)
