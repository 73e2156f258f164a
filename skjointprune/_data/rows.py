"""Rows: what a network is trained and scored on, whatever kind of X they come from."""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from .._pruning.gates import InputGates

ROWS_TO_CHECK = 16  # enough to see whether two networks give the same outputs

Outputs = Callable[[Tensor], Tensor]  # of a batch of rows, (rows, outputs)


class Rows(Dataset):
    """Some rows of X, with encoded targets and weights, indexed by whole batches.

    A kind of input has one such class. Inputs can be dropped on the way, as a network
    loses them.

    Attributes
    ----------
    batch_size_to_score : int
        How many rows to run at once where nothing is trained.
    exchangeable_inputs : bool
        Whether an input can be that of another row, and rows cost little to read.
    y, weight : Tensor
        Targets and weights of the `sample`, on the device.
    """

    batch_size_to_score: int
    exchangeable_inputs: ClassVar[bool] = False
    y: Tensor
    weight: Tensor
    # what a teacher gives for each row, (rows, outputs), or what gives it for a batch
    teacher: Tensor | Outputs | None = None

    @abstractmethod
    def __len__(self) -> int:
        """Return how many rows there are."""

    @property
    def augmented(self) -> bool:
        """Whether a row is changed at random each time it is read."""
        return False

    @property
    def sample(self) -> "Rows":
        """Rows that are indexed: these, or some where these cannot be."""
        return self

    @abstractmethod
    def batches(
        self, positions: Sequence[Any], *, with_teacher: bool = False
    ) -> Iterator[Any]:
        """Return a batch for each item of `positions`, (X, (y, weight)).

        With the outputs of the teacher, (X, (y, weight, outputs)).
        """

    def shuffled(
        self, positions: Sequence[slice], *, with_teacher: bool = False
    ) -> Iterator[Any]:
        """Return batches of as many rows as `positions` have, in an order drawn anew.

        All rows come once, where the positions are those of all.
        """
        order = torch.randperm(len(self))
        drawn = [order[rows] for rows in positions]
        return self.batches(drawn, with_teacher=with_teacher)

    @abstractmethod
    def keep_inputs(self, kept: Tensor) -> None:
        """Keep some of the present inputs, given by their positions."""

    def behind(self, gates: InputGates) -> "Rows":
        """Return the same rows behind other gates, which lose inputs on their own."""
        return copy(self)

    def count_inputs(self, shape: tuple[int, ...]) -> int:
        """Return how many inputs get through to a network for rows of a shape."""
        return math.prod(shape)

    def learn_from(self, outputs: Outputs) -> None:
        """Keep what a trained network gives for these rows, as a teacher."""
        rows = self.batches(batches_in_order(len(self), self.batch_size_to_score))
        self.teacher = torch.cat([outputs(X) for X, _ in rows])


def to_device(positions: Sequence[Any], device: torch.device) -> list[Any]:
    """Return positions, of which slices stay as they are, as tensors on a device.

    All in one copy: for each, a GPU is waited for.
    """
    if any(isinstance(index, slice) for index in positions):
        return list(positions)
    given = [torch.as_tensor(index) for index in positions]
    return list(torch.cat(given).to(device).split([len(index) for index in given]))


def n_batches(n_rows: int, batch_size: int) -> int:
    """Return into how many batches of nearly equal size rows are cut, none alone.

    Batch normalisation learns nothing from one row, so there are at least two.
    """
    return max(1, min(-(-n_rows // batch_size), n_rows // 2))


def batches_in_order(n_rows: int, batch_size: int) -> list[slice]:
    """Return the positions of rows in each batch, one batch after the other."""
    ends = np.linspace(0, n_rows, n_batches(n_rows, batch_size) + 1).astype(int)
    return [slice(start, end) for start, end in pairwise(ends.tolist())]
