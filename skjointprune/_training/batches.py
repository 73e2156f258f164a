"""Batches of a dataset, and the score of a module on them."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from .._data.images import Images
from .._data.tables import Table
from .tasks import Score


class Batches:
    """Slice a dataset into batches of nearly equal size, all rows, none alone.

    Batch normalisation learns nothing from one row, so there are at least two.
    Most of the cost of a loader on tables is collating row by row; here a batch is
    one indexing operation. `noise` is the standard deviation of what is added to X;
    with `taught`, targets come with the outputs of a teacher.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        shuffle: bool = False,
        noise: float = 0.0,
        taught: bool = False,
    ):
        self.dataset, self.batch_size = dataset, batch_size
        self.shuffle, self.noise, self.taught = shuffle, noise, taught

    def __len__(self) -> int:
        n = len(self.dataset)
        return max(1, min(math.ceil(n / self.batch_size), n // 2))

    def __iter__(self) -> Iterator[Any]:
        n = len(self.dataset)
        ends = np.linspace(0, n, len(self) + 1).astype(int)
        at: list[Any] = [slice(start, end) for start, end in pairwise(ends.tolist())]
        if self.shuffle:
            order = torch.randperm(n).numpy()
            at = [order[rows] for rows in at]
        if isinstance(self.dataset, Table | Images):
            batches = self.dataset.batches(at, self.taught)
        else:  # what skorch makes to predict
            batches = map(self.dataset.__getitem__, at)
        for X, of in batches:
            if self.noise:
                X = X + self.noise * torch.randn_like(X)
            yield X, of


def score_table(module: torch.nn.Module, table: Table | Images, score: Score) -> float:
    """Return the score of a module on the rows of a table."""
    module.eval()
    with torch.inference_mode():
        batches = Batches(table, table.batch_size_to_score)
        rows = [(module(X), *of) for X, of in batches]
    return score(*(torch.cat(parts) for parts in zip(*rows, strict=True)))
