"""`Columns`: what the columns of a table hold, and the numbers a network is given."""

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._layers.code_levels import CodeLevels
from .._layers.encode_columns import EncodeColumns
from .._utils.input_names import labels_of_columns
from .._utils.warn import warn_caller
from .frames import column_of, numbers_of, values_of

ROWS_OF_A_LEVEL = 5  # with fewer, a level is rare
MOST_LEVELS = 100  # of a category that have a number of their own
UNKNOWN = -1.0  # the position of a level that the fit has not seen
ROWS_TO_WARN = 20  # if all these have new levels, something else is wrong


@dataclass(frozen=True, eq=False)
class Columns:
    """What is known of the columns of a table.

    A column of numbers is one number for the network. A category, which comes as the
    position of its level, is one number for each level. Where values were missing in
    the fit, one more number says so. All numbers of a column stay or go together.

    Attributes
    ----------
    n : int
        How many columns there are.
    levels : dict of int to list
        Of each category, by its position: the levels with a number of their own.
    rare : tuple of int
        Categories whose other levels share one more number.
    gaps : tuple of int
        Columns in which values were missing.
    means : ndarray of shape (n,) or None
        What stands for missing numbers; None before a fit.
    """

    n: int
    levels: dict[int, list[Any]] = field(default_factory=dict)
    rare: tuple[int, ...] = ()
    gaps: tuple[int, ...] = ()
    means: np.ndarray | None = None

    @classmethod
    def find(cls, X: Any, categories: Iterable[int]) -> "Columns":
        """Return columns with all levels that a table has."""
        levels = {}
        for position in categories:
            values = values_of(column_of(X, position))
            try:
                found = dict.fromkeys(value for value in values if value is not None)
            except TypeError as error:  # of what has no hash
                kind, labels = str(error).rpartition(" ")[2], labels_of_columns(X)
                name = position if labels is None else labels[position]
                raise ValueError(
                    f"The column {name!r} of X cannot be a category. It holds values "
                    f"of the type {kind}; make text or numbers of them."
                ) from error
            levels[position] = ordered(found)
        return cls(X.shape[1], levels)

    @property
    def plain(self) -> bool:
        """Whether each column is one number, just as it comes."""
        return not self.levels and not self.gaps

    @property
    def widths(self) -> np.ndarray:
        """How many numbers the network is given for each column, (n,)."""
        widths = np.ones(self.n, dtype=int)
        for position, levels in self.levels.items():
            widths[position] = len(levels)
        widths[[*self.rare]] += 1
        widths[[*self.gaps]] += 1
        return np.maximum(widths, 1)

    def read(self, X: Any, positions: Sequence[int], names: Any = None) -> np.ndarray:
        """Return some columns as float64, (rows, positions).

        Categories become positions of levels, and what is missing NaN; but a missing
        number becomes the mean where the network has no number for gaps.

        Parameters
        ----------
        X : frame or ndarray
            Holds these columns alone, in the order of `positions`.
        positions : sequence of int
        names : sequence or None
            Of the columns of X, for errors.
        """
        made = np.empty((len(X), len(positions)))
        for i, position in enumerate(positions):
            column = column_of(X, i)
            name = position if names is None else names[i]
            if position in self.levels:
                values = values_of(column)
                made[:, i] = self._codes(position, values)
                _warn_if_all_are_new(values, made[:, i], self.levels[position], name)
            else:
                made[:, i] = numbers_of(column, name)
        return self.fill(made, positions)

    def fill(self, X: np.ndarray, positions: Sequence[int]) -> np.ndarray:
        """Put means in place of missing numbers where there is no number for gaps."""
        if self.means is None or not np.isnan(X.sum()):
            return X
        encoded = {*self.gaps, *self.levels}
        without = [i for i, p in enumerate(positions) if p not in encoded]
        missing = np.isnan(X[:, without])
        if missing.any():
            X = X.copy()
            rows, columns = np.nonzero(missing)
            at = np.asarray(without)[columns]
            X[rows, at] = self.means[np.asarray(positions)[at]]
        return X

    def _codes(self, position: int, values: list[Any]) -> list[float]:
        levels = self.levels[position]
        codes: dict[Any, float] = {v: float(i) for i, v in enumerate(levels)}
        codes[None] = np.nan
        other = self.code_of_others(position)
        # what has no hash, as a list, is no level
        return [
            codes.get(value, other) if isinstance(value, Hashable) else other
            for value in values
        ]

    def code_of_others(self, position: int) -> float:
        """Return what stands for a level of a category without a number of its own."""
        return float(len(self.levels[position])) if position in self.rare else UNKNOWN

    def learn(
        self, X: np.ndarray, train: np.ndarray, weight: np.ndarray
    ) -> tuple["Columns", np.ndarray]:
        """Learn from rows to train on which levels are rare, where gaps are, and means.

        Parameters
        ----------
        X : ndarray of shape (rows, n)
            As `read` returns it. It may have missing numbers.
        train : ndarray of bool
            The rows to train on.
        weight : ndarray of shape (rows,)

        Returns
        -------
        columns : Columns
        X : ndarray of shape (rows, n)
            As they would read it.
        """
        counted = np.where(train, weight, 0).astype(X.dtype)
        if not self.levels and not np.isnan(X.sum()):  # the most common case, fast
            means = (counted @ X / counted.sum()).astype(np.float64)
            return replace(self, means=means), X
        missing = np.isnan(X)
        total = counted @ ~missing
        means = np.zeros(self.n)
        np.divide(counted @ np.where(missing, 0, X), total, out=means, where=total > 0)
        known, missing = X[train], missing[train]
        levels, rare = {}, []
        X = X.copy() if self.levels else X
        for position, all_levels in self.levels.items():
            seen = known[:, position]
            seen = seen[~np.isnan(seen)].astype(int)
            counts = np.bincount(seen, minlength=len(all_levels))
            kept, is_rare, codes = split_levels(all_levels, counts)
            levels[position] = kept
            if is_rare:
                rare.append(position)
            column = X[:, position]
            here = ~np.isnan(column)
            column[here] = codes[column[here].astype(int)]
            means[position] = 0.0
        gaps = tuple(np.flatnonzero(missing.any(axis=0)).tolist())
        learnt = replace(self, levels=levels, rare=tuple(rare), gaps=gaps, means=means)
        return learnt, learnt.fill(X, range(self.n))

    def encoder(self, kept: np.ndarray | None = None) -> EncodeColumns:
        """Return the layer that makes the numbers of the columns, or of some of them.

        Parameters
        ----------
        kept : ndarray of int or None
            Positions of the columns that the layer is given, ascending; None for all.
        """
        kept = np.arange(self.n) if kept is None else kept
        source: list[int] = []
        level: list[float] = []
        fill: list[float] = []
        gap: list[bool] = []
        means = np.zeros(self.n) if self.means is None else self.means
        for i, position in enumerate(kept.tolist()):
            numbers: list[tuple[float, bool]] = [(-1.0, False)]
            if position in self.levels:
                n_levels = len(self.levels[position]) + (position in self.rare)
                numbers = [(float(code), False) for code in range(n_levels)]
            if position in self.gaps or not numbers:
                numbers.append((-1.0, True))
            for code, is_gap in numbers:
                source.append(i)
                level.append(code)
                gap.append(is_gap)
                fill.append(means[position])
        return EncodeColumns(
            torch.tensor(source),
            torch.tensor(level, dtype=torch.float64),
            torch.tensor(gap),
            torch.tensor(fill, dtype=torch.float64),
        )

    def level_coder(self, kept: Sequence[int], dtype: torch.dtype) -> CodeLevels | None:
        """Return the layer that puts positions of levels in place of numbers.

        None where no retained column is a category of numbers.

        Parameters
        ----------
        kept : sequence of int
            The columns that rows have.
        dtype : torch.dtype
            In which rows come.

        Raises
        ------
        ValueError
            If two levels of a column are the same number in that type.
        """
        coded = [i for i, position in enumerate(kept) if self.holds_numbers(position)]
        if not coded:
            return None
        of_each = [self.levels[kept[i]] for i in coded]
        shape = len(coded), max(map(len, of_each))
        levels = torch.full(shape, math.nan, dtype=dtype)  # which equal no number
        for row, found in zip(levels, of_each, strict=True):
            row[: len(found)] = torch.tensor([float(v) for v in found])
            if len(row[: len(found)].unique()) < len(found):
                raise ValueError(
                    f"A category of X has levels that are the same number as {dtype}, "
                    f"in which the file takes rows. Got {found[:3]} among them; make "
                    "text of these levels, or whole numbers from 0."
                )
        others = [self.code_of_others(kept[i]) for i in coded]
        return CodeLevels(
            len(kept), torch.tensor(coded), levels, torch.tensor(others, dtype=dtype)
        )

    def holds_numbers(self, position: int) -> bool:
        """Tell whether a column is a category whose levels are all numbers."""
        levels = self.levels.get(position)
        return levels is not None and all(
            isinstance(v, Real | np.bool_) for v in levels
        )

    def numbers_of_columns(self) -> list[np.ndarray]:
        """Return the positions of each column's numbers among the network's inputs."""
        ends = np.cumsum(self.widths)
        starts = ends - self.widths
        return [np.arange(*both) for both in zip(starts, ends, strict=True)]

    def spread(self, values: Tensor | np.ndarray) -> Tensor:
        """Return what belongs to columns, (n,), for each number of the network."""
        widths = torch.from_numpy(self.widths)
        return torch.as_tensor(values).repeat_interleave(widths, dim=0)


def _warn_if_all_are_new(
    values: list[Any], codes: np.ndarray, levels: list[Any], name: Any
) -> None:
    """Warn where no value is a level that the fit has seen, and this is no chance.

    As where levels were text and values are none, or the other way round.
    """
    there = [value for value in values if value is not None]
    was_text = {isinstance(level, str) for level in levels}
    is_text = {isinstance(value, str) for value in there}
    if was_text and is_text and was_text.isdisjoint(is_text):
        before, now = ("text", "no text") if True in was_text else ("no text", "text")
        warn_caller(
            f"The column {name!r} of X held {before} in `fit`, such as {levels[0]!r}, "
            f"and holds {now} now: all its levels are new. Convert the column."
        )
    elif len(there) >= ROWS_TO_WARN and (codes[~np.isnan(codes)] == UNKNOWN).all():
        warn_caller(
            f"All {len(there)} values of the column {name!r} of X are new levels, such "
            f"as {there[0]!r}. In `fit` there were levels such as {levels[0]!r}. "
            "Convert the column if the same is meant."
        )


def ordered(levels: Iterable[Any]) -> list[Any]:
    """Return levels in their order, or by their text where they have none."""
    levels = list(levels)
    try:
        return sorted(levels)
    except TypeError:
        return sorted(levels, key=lambda level: (type(level).__name__, str(level)))


def split_levels(
    levels: list[Any], counts: np.ndarray
) -> tuple[list[Any], bool, np.ndarray]:
    """Return levels with a number of their own, whether others are left, new codes.

    `counts`, (levels,), say how many rows to train on have each. All rare levels get
    the last new code. Where no row to train on has a rare level, others get the code of
    unknown levels.
    """
    order = np.argsort(-counts, kind="stable")[:MOST_LEVELS]
    common = sorted(int(i) for i in order if counts[i] >= ROWS_OF_A_LEVEL)
    is_rare = bool(counts.sum() > counts[common].sum())
    new = np.full(len(levels), float(len(common)) if is_rare else UNKNOWN)
    new[common] = np.arange(len(common))
    return [levels[i] for i in common], is_rare, new
