"""Rows that are read while a network is trained on them."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._pruning.gates import InputGates
from .columns import UNKNOWN, Columns
from .prepare import Scaling
from .read_ahead import ahead
from .rows import Outputs, Rows
from .scan import chosen_rows, weighted
from .sources import Block, LevelCodes, Source, Y
from .tables import Table

NUMBERS_TO_SHUFFLE = 2**23  # rows are shuffled among as many as hold so many numbers,
LEAST_TO_SHUFFLE, MOST_TO_SHUFFLE = 2**12, 2**18  # in these bounds


@dataclass(frozen=True)
class Encoding:
    """What makes numbers for a network of a block of a source.

    `codes_of_y` has the code of each label under `Y`, where y holds classes. `factors`
    multiply weights of rows of each class. `mean_weight` is that of rows to train on.
    """

    columns: Columns
    scaling: Scaling | None
    codes_of_y: dict[int, dict[Any, int]]
    target_scaling: Scaling | None
    factors: np.ndarray | None
    mean_weight: float

    def codes(self) -> LevelCodes:
        """Return the codes of levels by which a source is to be read."""
        known = {
            i: {level: code for code, level in enumerate(levels)}
            for i, levels in self.columns.levels.items()
        }
        others = {
            i: float(len(levels)) if i in self.columns.rare else UNKNOWN
            for i, levels in self.columns.levels.items()
        }
        return LevelCodes(known | self.codes_of_y, others | {Y: UNKNOWN})

    def columns_of(self, inputs: np.ndarray) -> np.ndarray:
        """Return which columns the inputs are made of, ascending."""
        if self.columns.plain:
            return inputs
        of_inputs = self.columns.spread(np.arange(self.columns.n)).numpy()
        return np.unique(of_inputs[inputs])

    def inputs(self, X: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """Return inputs, float32, standardised, of their columns; X is written to."""
        positions = self.columns_of(inputs)
        X = self.columns.fill(X, positions.tolist())
        if not self.columns.plain:
            encoder = self.columns.encoder(positions)
            numbers = self.columns.numbers_of_columns()
            made = np.concatenate([numbers[i] for i in positions])
            X = X.astype(np.float64, copy=False)
            X = encoder(torch.from_numpy(X)).numpy()
            X = X[:, np.searchsorted(made, inputs)]
        if self.scaling is not None:
            X -= self.scaling.mean.numpy()[inputs].astype(X.dtype)
            X /= self.scaling.scale.numpy()[inputs].astype(X.dtype)
        return X.astype(np.float32, copy=False)

    def targets(self, block: Block) -> tuple[np.ndarray, np.ndarray]:
        """Return targets and weights as a network learns them."""
        weight = (block.weight / self.mean_weight).astype(np.float32)
        if Y in self.codes_of_y:
            return block.y[:, 0].astype(np.int64), weight
        y = block.y
        if self.target_scaling is not None:
            y = y - self.target_scaling.mean.numpy()
            y /= self.target_scaling.scale.numpy()
        return y.astype(np.float32), weight

    def table(self, block: Block, device: torch.device) -> Table:
        """Return rows on a device, of all inputs."""
        every = np.arange(int(self.columns.widths.sum()))
        X = self.inputs(block.X, every)
        y, weight = (torch.from_numpy(a).to(device) for a in self.targets(block))
        return Table(torch.from_numpy(X).to(device), y, weight)


@dataclass(frozen=True)
class Window:
    """Shuffled rows, which are in memory together: (X, y, weight) and which inputs."""

    inputs: np.ndarray
    parts: tuple[np.ndarray, np.ndarray, np.ndarray]

    def __len__(self) -> int:
        return len(self.parts[0])

    def take(self, rows: Any) -> "Window":
        """Return some of the rows."""
        X, y, weight = (part[rows] for part in self.parts)
        return replace(self, parts=(X, y, weight))


class StreamedTable(Rows):
    """Rows of a source to train on, which are read anew in each epoch.

    Pieces of the source come in an order drawn anew, some in turn. As many rows as
    hold some millions of numbers are shuffled together, while a network is trained on
    those before. Columns that are gone are not read any more, from the next piece on.

    Parameters
    ----------
    source : Source
    encoding : Encoding
    held_out : ndarray of int
        Positions of the rows of the source that are none of these, ascending.
    y_held_out : ndarray of shape (held out, outputs)
        Their targets, as the source gives them: so it shows whether the order of its
        rows has changed.
    n_rows : int
        How many rows there are.
    sample : Table
        Some of them.
    """

    exchangeable_inputs = True

    def __init__(
        self,
        source: Source,
        encoding: Encoding,
        held_out: np.ndarray,
        y_held_out: np.ndarray,
        n_rows: int,
        sample: Table,
    ):
        self.source, self.encoding = source, encoding
        self.held_out, self.y_held_out = held_out, y_held_out
        self.n_rows, self.table = n_rows, sample
        self.y, self.weight = sample.y, sample.weight
        self.kept = np.arange(sample.X.shape[1])
        # of each input, the one whose values it has in another order of the rows; and
        # the number of the group that is shuffled together
        self.shadow_of = np.full(len(self.kept), -1)
        self.shadow_group = np.full(len(self.kept), -1)

    def __len__(self) -> int:
        return self.n_rows

    @property
    def sample(self) -> Table:
        """Some of the rows, in memory."""
        return self.table

    @property
    def batch_size_to_score(self) -> int:  # type: ignore[override]
        """How many rows to run at once where nothing is trained."""
        return self.table.batch_size_to_score

    def batches(
        self, positions: Sequence[Any], *, with_teacher: bool = False
    ) -> Iterator[Any]:
        """Refuse: what is streamed has no order of its own."""
        raise TypeError("Streamed rows come shuffled; ask their sample for some.")

    def shuffled(
        self, positions: Sequence[slice], *, with_teacher: bool = False
    ) -> Iterator[Any]:
        """Return shuffled batches of such sizes."""
        sizes = np.array([rows.stop - rows.start for rows in positions])
        seed = int(torch.randint(2**62, ()))
        every = np.arange(len(self.shadow_of))
        inputs = (lambda: every) if with_teacher else (lambda: self.kept)
        for window, ends in ahead(self._windows(sizes, seed, inputs)):
            X, y, weight = (
                torch.from_numpy(part).to(self.y.device) for part in window.parts
            )
            for start, end in zip([0, *ends], ends, strict=False):
                rows = X[start:end]
                targets = [y[start:end], weight[start:end]]
                if with_teacher:
                    assert callable(self.teacher)
                    targets.append(self.teacher(rows.clone()))
                yield self._left(rows, window.inputs), tuple(targets)

    def _left(self, X: Tensor, inputs: np.ndarray) -> Tensor:
        """Return the inputs that are left, of those there were as X was read."""
        if len(self.kept) == len(inputs):
            return X
        at = torch.from_numpy(np.searchsorted(inputs, self.kept)).to(X.device)
        return X.index_select(1, at)

    def _windows(
        self, sizes: np.ndarray, seed: int, inputs: Callable[[], np.ndarray]
    ) -> Iterator[tuple[Window, list[int]]]:
        """Yield shuffled rows, and where their batches end.

        What is drawn does not depend on when inputs go, nor on the speed of reading.
        """
        rng = np.random.default_rng(seed)
        n_numbers = max(1, len(inputs()))
        n_together = NUMBERS_TO_SHUFFLE // n_numbers
        n_together = min(max(n_together, LEAST_TO_SHUFFLE), MOST_TO_SHUFFLE)
        n_together = max(n_together, int(sizes.max()))
        waiting: list[Window] = []
        ends = np.cumsum(sizes)  # of batches, among all rows
        n_given = n_read = 0
        number = 0  # of the next batch
        for window in self._blocks(rng, inputs):
            if not len(window):
                continue
            waiting.append(window)
            n_read += len(window)
            last = n_read == self.n_rows
            if n_read - n_given < n_together and not last:
                continue
            rows = _shuffle(waiting, rng)
            after = int(np.searchsorted(ends, n_read, side="right"))
            cut = [int(end) - n_given for end in ends[number:after]]
            if n_read > self.n_rows or not cut:
                break
            yield self._with_shadows(rows.take(slice(cut[-1])), rng, inputs()), cut
            # a copy, so that what was given can be forgotten
            waiting = [rows.take(np.arange(cut[-1], len(rows)))]
            del rows
            n_given, number = int(ends[after - 1]), after
        if n_read != self.n_rows:
            raise ValueError(
                f"X must hold the same rows each time it is read. Got {n_read} to "
                f"train on, where there were {self.n_rows}; write to it after the fit."
            )

    def _blocks(
        self, rng: np.random.Generator, inputs: Callable[[], np.ndarray]
    ) -> Iterator[Window]:
        """Yield the blocks of some pieces in turn."""
        starts = np.cumsum([0, *self.source.lengths])
        codes = self.encoding.codes()
        order = iter(rng.permutation(len(self.source.lengths)).tolist())
        n_at_once = self.source.pieces_at_once
        reading: deque[Iterator[Window]] = deque()
        while True:
            while len(reading) < n_at_once:
                piece = next(order, None)
                if piece is None:
                    break
                needed = self._needed(inputs())
                reading.append(self._read(piece, int(starts[piece]), needed, codes))
            if not reading:
                return
            blocks = reading.popleft()
            block = next(blocks, None)
            if block is not None:
                reading.append(blocks)
                yield block

    def _read(
        self, piece: int, start: int, inputs: np.ndarray, codes: LevelCodes
    ) -> Iterator[Window]:
        """Yield blocks of rows to train on, of a piece."""
        columns = self.encoding.columns_of(inputs).tolist()
        for block in self.source.blocks(piece, columns, codes):
            block = weighted(block, self.encoding.factors)
            apart = chosen_rows(start, len(block.X), self.held_out)
            first = int(np.searchsorted(self.held_out, start))
            expected = self.y_held_out[first : first + apart.sum()]
            if not np.array_equal(block.y[apart], expected):
                raise ValueError(
                    "X must hold the same rows in the same order each time it is read. "
                    "Got other targets for rows that are held out; leave the order as "
                    "it is, as rows are shuffled here."
                )
            start += len(block.X)
            block = block.take(~apart & (block.weight > 0))
            X = self.encoding.inputs(block.X, inputs)
            yield Window(inputs, (X, *self.encoding.targets(block)))

    def _needed(self, inputs: np.ndarray) -> np.ndarray:
        """Return the inputs to read, which are no shadows, ascending."""
        sources = np.where(self.shadow_of[inputs] < 0, inputs, self.shadow_of[inputs])
        return np.unique(sources)

    def _with_shadows(
        self, window: Window, rng: np.random.Generator, inputs: np.ndarray
    ) -> Window:
        """Put shadows after inputs: their values in another order of the rows."""
        if (self.shadow_of < 0).all():
            return window
        X, y, weight = window.parts
        made = np.empty((len(X), len(inputs)), dtype=np.float32)
        real = self.shadow_of[inputs] < 0
        at = np.searchsorted(window.inputs, inputs[real])
        made[:, real] = X[:, at]
        seeds = rng.integers(2**62, size=int(self.shadow_group.max()) + 1)
        for group in np.unique(self.shadow_group[inputs[~real]]):
            order = np.random.default_rng(seeds[group]).permutation(len(X))
            columns = np.flatnonzero(self.shadow_group[inputs] == group)
            at = np.searchsorted(window.inputs, self.shadow_of[inputs[columns]])
            made[:, columns] = X[np.ix_(order, at)]
        return Window(inputs, (made, y, weight))

    def behind(self, gates: InputGates) -> "StreamedTable":
        """Return the same rows, which lose inputs on their own."""
        new = copy(self)
        new.table = copy(self.table)
        return new

    def with_shadows(self, groups: Sequence[Any]) -> "StreamedTable":
        """Return rows with copies of groups of columns, each in an order of its own.

        Orders are drawn anew in each epoch.
        """
        new = copy(self)
        new.table = self.table.with_shadows(groups)
        copied = np.concatenate([np.empty(0, dtype=int), *groups])
        of_group = np.repeat(np.arange(len(groups)), [len(g) for g in groups])
        new.shadow_of = np.concatenate([self.shadow_of, copied])
        new.shadow_group = np.concatenate([self.shadow_group, of_group])
        new.kept = np.arange(len(new.shadow_of))
        return new

    def keep_inputs(self, kept: Tensor) -> None:
        """Keep some of the present columns, given by their positions."""
        self.kept = self.kept[kept.cpu().numpy()]
        self.table.keep_inputs(kept)

    def learn_from(self, outputs: Outputs) -> None:
        """Ask a trained network for each batch: all outputs may be too many to keep."""
        self.teacher = outputs


def _shuffle(windows: Sequence[Window], rng: np.random.Generator) -> Window:
    """Return the rows of windows together, shuffled, with the inputs all have."""
    fewest = min((window.inputs for window in windows), key=len)
    Xs = [
        X if len(inputs) == len(fewest) else X[:, np.searchsorted(inputs, fewest)]
        for inputs, X in ((window.inputs, window.parts[0]) for window in windows)
    ]
    y, weight = (np.concatenate([w.parts[i] for w in windows]) for i in (1, 2))
    whole = Window(fewest, (np.concatenate(Xs), y, weight))
    return whole.take(rng.permutation(len(whole)))
