"""Batches of rows, and the score of a module on them."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._data.rows import Rows, batches_in_order, n_batches
from .tasks import Score

Change = Callable[[Tensor], Tensor]  # of X of a batch


def add_noise(X: Tensor, std: float) -> Tensor:
    """Return numbers with normal noise of a standard deviation."""
    return X + std * torch.randn_like(X)


class Batches:
    """Cut rows into batches of nearly equal size, none of one row.

    Most of the cost of a loader on tables is collating row by row; here a batch is
    one indexing operation. What `changes` return for X takes its place, one after the
    other; with `taught`, targets come with the outputs of a teacher.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        shuffle: bool = False,
        changes: Sequence[Change] = (),
        taught: bool = False,
    ):
        self.dataset, self.batch_size = dataset, batch_size
        self.shuffle, self.changes, self.taught = shuffle, changes, taught

    def __len__(self) -> int:
        return n_batches(len(self.dataset), self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        positions = batches_in_order(len(self.dataset), self.batch_size)
        if isinstance(self.dataset, Rows):
            read = self.dataset.shuffled if self.shuffle else self.dataset.batches
            batches = read(positions, with_teacher=self.taught)
        else:  # what skorch makes to predict
            batches = map(self.dataset.__getitem__, positions)
        for X, targets in batches:
            for change in self.changes:
                X = change(X)
            yield X, targets


def run_rows(module: torch.nn.Module, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
    """Return what a module gives for rows, their targets and their weights."""
    module.eval()
    with torch.inference_mode():
        batches = Batches(rows, rows.batch_size_to_score)
        read = [(module(X), *targets) for X, targets in batches]
    outputs, y, weight = (torch.cat(parts) for parts in zip(*read, strict=True))
    return outputs, y, weight


def run_parts(
    module: torch.nn.Module, parts: Sequence[Rows]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the same as arrays, for rows of several parts together."""
    read = zip(*(run_rows(module, rows) for rows in parts), strict=True)
    outputs, y, weight = (torch.cat(tensors).cpu().numpy() for tensors in read)
    return outputs, y, weight


def score_rows(module: torch.nn.Module, rows: Rows, score: Score) -> float:
    """Return the score of a module on rows."""
    return score(*run_rows(module, rows))
