"""Read a table once: what is learnt of the rows to train on, and a sample of rows."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from .check_tables import refuse_infinite
from .columns import Columns, ordered, split_levels
from .prepare import Scaling
from .sources import Block, LevelCodes, Source, Y
from .targets import (
    Classes,
    Targets,
    refuse_no_indicators,
    refuse_unscalable_targets,
)

EPSILON = np.finfo(np.float64).eps


class Moments:
    """Weighted sums of columns, of which some values may be missing.

    Parts are put together as by Chan, Golub and LeVeque (1979), so that the means may
    be far from zero. (scikit-learn's `StandardScaler.partial_fit` does so, too, but of
    a column whose first rows are all missing the mean stays missing.)
    """

    def __init__(self, n_columns: int):
        self.weight, self.mean, self.square, self.missing, self.largest = np.zeros(
            (5, n_columns)
        )
        self.n_rows = 0

    def add(self, X: np.ndarray, weight: np.ndarray) -> None:
        """Add rows, (rows, columns), with their weights, (rows,)."""
        self.n_rows += len(X)
        with np.errstate(over="ignore", invalid="ignore"):  # the huge are refused later
            self._add(X, weight)

    def _add(self, X: np.ndarray, weight: np.ndarray) -> None:
        gaps = np.isnan(X.sum(axis=0))
        known = np.full(X.shape[1], weight.sum())
        if gaps.any():
            missing = np.isnan(X)
            known -= weight @ missing
            self.missing += weight @ missing
            X = np.where(missing, 0, X)
        X = X.astype(np.float64, copy=False)
        self.largest = np.maximum(self.largest, np.maximum(X.max(0), -X.min(0)))
        there = np.where(known > 0, known, 1)
        mean = weight @ X / there
        away = X - mean
        if gaps.any():
            away[missing] = 0
        square = weight @ np.square(away, out=away)
        total = self.weight + known
        share = known / np.where(total > 0, total, 1)
        step = mean - self.mean
        self.square += square + step**2 * self.weight * share
        self.mean += step * share
        self.weight = total

    def scaling(self, n_rows: float) -> tuple[np.ndarray, np.ndarray]:
        """Return means, and deviations with missing values at the mean, 1 of constants.

        As scikit-learn's StandardScaler finds them.
        """
        total = self.weight + self.missing
        variance = self.square / np.where(total > 0, total, 1)
        return self.mean, _deviations(self.mean, variance, n_rows)


def _deviations(mean: np.ndarray, variance: np.ndarray, n: float) -> np.ndarray:
    noise = n * EPSILON * variance + (n * mean * EPSILON) ** 2
    return np.where(variance <= noise, 1.0, np.sqrt(variance))


class Scan:
    """One pass over a table.

    Parameters
    ----------
    source : Source
    categories : sequence of int
        Which columns hold these.
    codes_of_y : dict of int to dict
        Under `Y`, the code of each label where y holds classes; or empty.
    factors : ndarray or None
        What multiplies the weight of rows of each class.
    held_out, drawn : ndarray of int
        Positions of rows to hold out, and of a sample of the others, ascending.

    Attributes
    ----------
    moments, moments_of_y : Moments
        Of the rows to train on.
    valid, sample : Block
        The rows held out, and those of the sample, of positive weight.
    held_out : ndarray of int
        The positions of the rows of `valid`.
    y_is_binary : bool
        Whether all of y is 0 or 1.
    """

    def __init__(
        self,
        source: Source,
        categories: Sequence[int],
        codes_of_y: dict[int, dict[Any, int]],
        factors: np.ndarray | None,
        held_out: np.ndarray,
        drawn: np.ndarray,
    ):
        self.source, self.categories = source, list(categories)
        new: dict[int, dict[Any, int]] = {i: {} for i in self.categories}
        self.codes = LevelCodes(new | codes_of_y)
        self.factors = factors
        self.moments = Moments(source.n_columns)
        n_outputs = int(np.prod(source.shape_of_y))
        self.y_is_binary = True
        self.moments_of_y = Moments(n_outputs)
        # of each category, by code: rows, and their weight
        self.counts = {position: np.zeros((2, 0)) for position in self.categories}
        valid: list[Block] = []
        sample: list[Block] = []
        rows_out: list[np.ndarray] = []
        for position, block in self._blocks():
            counted = block.weight > 0
            apart = chosen_rows(position, len(block.X), held_out)
            in_sample = chosen_rows(position, len(block.X), drawn)
            valid.append(block.take(apart & counted))
            rows_out.append(position + np.flatnonzero(apart & counted))
            sample.append(block.take(in_sample & counted))
            self._learn(block.take(~apart & counted))
        self.valid, self.sample = join(valid), join(sample)
        self.held_out = np.concatenate(rows_out)

    @property
    def n_rows(self) -> int:
        """How many rows there are to train on."""
        return self.moments.n_rows

    def _blocks(self) -> Iterator[tuple[int, Block]]:
        position = 0
        columns = range(self.source.n_columns)
        for piece in range(len(self.source.lengths)):
            for block in self.source.blocks(piece, columns, self.codes):
                check_block(block, self.source.names)
                yield position, weighted(block, self.factors)
                position += len(block.X)

    def _learn(self, block: Block) -> None:
        if not len(block.X):
            return
        self.moments.add(block.X, block.weight)
        self.moments_of_y.add(block.y, block.weight)
        self.y_is_binary &= bool(((block.y == 0) | (block.y == 1)).all())
        for position in self.categories:
            codes = block.X[:, position]
            there = ~np.isnan(codes)
            known = codes[there].astype(int)
            size = len(self.codes.known[position])
            total = np.zeros((2, size))
            before = self.counts[position]
            total[:, : before.shape[1]] = before
            total[0] += np.bincount(known, minlength=size)
            total[1] += np.bincount(known, block.weight[there], minlength=size)
            self.counts[position] = total

    def learn_columns(self, columns: Columns) -> tuple[Columns, dict[int, np.ndarray]]:
        """Return what was learnt of columns; and of each category the new codes.

        These are by the code that the source gave, with NaN last.
        """
        levels, rare, new = {}, [], {}
        means = self.moments.mean.copy()
        for position in self.categories:
            seen = list(self.codes.known[position])
            in_order = ordered(seen)
            code = self.codes.known[position]
            order = [code[level] for level in in_order]
            counts = np.zeros(len(seen), dtype=int)
            found = self.counts[position][0]
            counts[: len(found)] = found
            kept, is_rare, codes = split_levels(in_order, counts[order])
            levels[position] = kept
            if is_rare:
                rare.append(position)
            new[position] = np.full(len(seen) + 1, np.nan)
            new[position][order] = codes
            means[position] = 0.0
        gaps = tuple(np.flatnonzero(self.moments.missing > 0).tolist())
        learnt = replace(columns, levels=levels, rare=tuple(rare), gaps=gaps)
        return replace(learnt, means=means), new

    def scaling(self, columns: Columns, new: dict[int, np.ndarray]) -> Scaling:
        """Return means and deviations of the numbers that a network is given."""
        mean, scale = self.moments.scaling(self.n_rows)
        if not columns.plain:
            encoder = columns.encoder()
            source, level = encoder.source.numpy(), encoder.level.numpy()
            weight = self.moments.weight[source]  # of rows that are as the number says
            for i, position in enumerate(source):
                if level[i] >= 0:
                    codes = new[position][:-1]
                    by_level = np.zeros(len(codes))
                    found = self.counts[position][1]
                    by_level[: len(found)] = found
                    weight[i] = by_level[codes == level[i]].sum()
            of_gaps = encoder.gap.numpy()
            weight[of_gaps] = self.moments.missing[source[of_gaps]]
            share = weight / (self.moments.weight + self.moments.missing)[source]
            one_or_zero = (level >= 0) | of_gaps
            deviations = _deviations(share, share * (1 - share), self.n_rows)
            mean = np.where(one_or_zero, share, mean[source])
            scale = np.where(one_or_zero, deviations, scale[source])
        return Scaling(torch.from_numpy(mean), torch.from_numpy(scale))


def weighted(block: Block, factors: np.ndarray | None) -> Block:
    """Return a block whose weights are multiplied by those of its classes."""
    if factors is None:
        return block
    return replace(block, weight=block.weight * factors[block.y[:, 0].astype(int)])


def recode(block: Block, new_codes: dict[int, np.ndarray]) -> Block:
    """Put new codes in the place of those that the source gave, in place."""
    for position, codes in new_codes.items():
        given = np.nan_to_num(block.X[:, position], nan=-1).astype(int)
        block.X[:, position] = codes[given]
    return block


def check_scan(scan: Scan, targets: Targets) -> None:
    """Raise ValueError where rows or targets are not what can be learnt from."""
    n = min(scan.n_rows, len(scan.sample.X))
    if n < 2:
        raise ValueError(
            "Training needs rows of positive weight. Got hardly any: "
            f"{n} of {scan.source.n_rows}; leave the other rows out of X."
        )
    if targets.are_numbers:
        for largest in scan.moments_of_y.largest:
            refuse_unscalable_targets(largest)
    elif not isinstance(targets, Classes):
        refuse_no_indicators(scan.y_is_binary)


def chosen_rows(start: int, n: int, positions: np.ndarray) -> np.ndarray:
    """Return a mask of n rows from a start, of those at positions, ascending."""
    first, last = np.searchsorted(positions, [start, start + n])
    mask = np.zeros(n, dtype=bool)
    mask[positions[first:last] - start] = True
    return mask


def join(blocks: Sequence[Block]) -> Block:
    """Return the rows of blocks together."""
    return Block(
        np.concatenate([block.X for block in blocks]),
        np.concatenate([block.y for block in blocks]),
        np.concatenate([block.weight for block in blocks]),
    )


def count_labels(source: Source) -> tuple[list[Any], np.ndarray]:
    """Return the labels of rows of positive weight, in order, and how many have each.

    Only targets and weights are read.
    """
    codes = LevelCodes({Y: {}})
    counts = np.zeros(0, dtype=int)
    for piece in range(len(source.lengths)):
        for block in source.blocks(piece, [], codes):
            check_block(block, None)
            found = block.y[block.weight > 0].ravel().astype(int)
            counted = np.bincount(found, minlength=len(codes.known[Y]))
            counted[: len(counts)] += counts
            counts = counted
    count_of = {v: int(counts[i]) for v, i in codes.known[Y].items() if counts[i]}
    labels = ordered(count_of)
    return labels, np.array([count_of[label] for label in labels], dtype=int)


def check_block(block: Block, names: Sequence[str] | None) -> None:
    """Raise ValueError where rows hold what cannot be learnt from."""
    refuse_infinite(block.X, names)
    if not np.isfinite(block.y).all():
        raise ValueError(
            "y must hold finite numbers, or labels. Got a missing value or infinity; "
            "leave its row out."
        )
    if not (np.isfinite(block.weight) & (block.weight >= 0)).all():
        raise ValueError(
            "`sample_weight` must hold finite numbers of at least 0. Got a negative, "
            "missing or infinite one; use 0 to leave a row out."
        )
