"""Step 1 where columns outnumber rows: what shows no sign of mattering goes at once.

With more columns than rows a network learns every row by heart, by any columns. So most
of them go before it is trained (Fan, Lv, "Sure independence screening for ultrahigh
dimensional feature space", JRSS B 70, 2008). An input may matter by itself, by its
square, or beside another input only: its product with each other one is looked at, too
(Hao, Zhang, "Interaction screening for ultrahigh-dimensional data", JASA 109, 2014).

Rao's score test (1948) asks of each whether a model that says the same for every row
would get better by it. That takes the derivative of the loss of each row by the
outputs, and no fit, so it works for any loss.
"""

import math
from itertools import combinations_with_replacement

import numpy as np
import torch
from torch import Tensor

from .._data.readers import slices
from .._data.rows import Rows, batches_in_order
from .._pruning.prices import Prices
from .tasks import Task

BY_CHANCE = 100  # inputs, or groups of them, that may stay though they say nothing
LEFT_FOR_EACH = 4  # at least so many stay for each that is asked for
TESTS = 3  # of an input: by itself, squared, beside others
MOST_ROWS = 4096
MOST_PRODUCTS = 3 * 10**9  # numbers that are multiplied to look at pairs of inputs
COLUMNS_AT_ONCE = 256  # of either side of a pair


def screen(task: Task, rows: Rows, prices: Prices, n_inputs: int) -> Tensor:
    """Return a mask over inputs, (inputs,), of those that show evidence.

    The threshold is such that about a hundred pass it if none matters. At least a
    hundred stay in any case: those that show most. So nearly all stay where nearly all
    are related to y, as pixels and expressions of genes often are. A group of inputs
    that go together shows as much as the best of them, less what chance gives for
    their number. What costs nothing stays.
    """
    found = evidence(task, rows)
    groups = prices.number_groups(len(found))
    size = groups.bincount()
    best = torch.zeros(len(size), dtype=found.dtype)
    best = best.scatter_reduce(0, groups, found, "amax", include_self=False)
    best -= size.log()
    if prices.costs is not None:
        best[groups[prices.costs == 0]] = math.inf
    n_sure = int((best > math.log(len(size) / BY_CHANCE)).sum())
    n_left = max(n_sure, BY_CHANCE, LEFT_FOR_EACH * n_inputs)
    mask = torch.zeros(len(size), dtype=torch.bool)
    mask[best.argsort(descending=True, stable=True)[:n_left]] = True
    return mask[groups]


def evidence(task: Task, rows: Rows) -> Tensor:
    """Return how surely each input matters, alone or beside another, (inputs,).

    That is the negative logarithm of the least p-value of its tests, times their number
    (Bonferroni).
    """
    at = np.linspace(0, len(rows) - 1, min(len(rows), MOST_ROWS)).astype(int)
    residuals = _residuals(task, rows, at)
    standardised = _Standardised(rows, at)
    alone = _alone(standardised, residuals)
    n_pairs = math.isqrt(MOST_PRODUCTS // residuals.numel())
    chosen = alone.argsort(descending=True, stable=True)[:n_pairs]
    beside = _beside_another(standardised.columns(chosen), residuals)
    alone[chosen] = alone[chosen].maximum(beside - math.log(len(chosen)))
    return alone - math.log(TESTS * len(residuals))


def _residuals(task: Task, rows: Rows, at: np.ndarray) -> Tensor:
    """Return how the loss of each row falls with each output, (outputs, rows)."""
    y, weight = rows.y[at], rows.weight[at]
    constant = task.best_constant(y, weight)
    outputs = constant.repeat(len(at), 1).requires_grad_()
    loss = (task.losses(outputs, y) * weight).sum()
    (gradient,) = torch.autograd.grad(-loss, outputs)
    residuals = (gradient - gradient.mean(dim=0)).T
    # of two classes, one says all
    return residuals[:1] if task.takes_logits and len(residuals) == 2 else residuals


class _Standardised:
    """Batches of rows, of which each input has mean 0 and variance 1."""

    def __init__(self, rows: Rows, at: np.ndarray):
        self.rows = rows
        cuts = batches_in_order(len(at), rows.batch_size_to_score)
        self.parts = [at[cut] for cut in cuts]
        total = sum(X.sum(dim=0) for X in self._read())
        self.mean = total / len(at)
        variance = sum((X - self.mean).square().sum(dim=0) for X in self._read())
        scale = (variance / len(at)).sqrt()
        self.scale = torch.where(scale > 0, scale, 1.0)

    def _read(self):
        return (self.rows[part][0] for part in self.parts)

    def __iter__(self):
        return ((X - self.mean) / self.scale for X in self._read())

    def columns(self, chosen: Tensor) -> Tensor:
        """Return some columns, (rows, chosen)."""
        columns = self.mean.new_empty(sum(map(len, self.parts)), len(chosen))
        start = 0
        for Z in self:
            columns[start : start + len(Z)] = Z[:, chosen]
            start += len(Z)
        return columns


def _alone(standardised: _Standardised, residuals: Tensor) -> Tensor:
    """Return the evidence of each input by itself or by its square, (inputs,)."""
    score = variance = torch.zeros((), device=residuals.device)
    sizes = [len(part) for part in standardised.parts]
    for Z, r in zip(standardised, residuals.split(sizes, dim=1), strict=True):
        both = torch.stack([Z, Z.square() - 1])
        score = score + r @ both
        variance = variance + r.square() @ both.square()
    return _surprise(_over_deviation(score, variance).amax(dim=(0, 1)))


def _beside_another(Z: Tensor, residuals: Tensor) -> Tensor:
    """Return the evidence of the best product of each column with another, (columns,).

    `Z` is (rows, columns).
    """
    largest = Z.new_zeros(Z.shape[1])
    parts = slices(Z.shape[1], COLUMNS_AT_ONCE)
    for left, right in combinations_with_replacement(parts, 2):
        A, B = Z[:, left], Z[:, right]
        A_squared, B_squared = A.square(), B.square()
        for r in residuals[:, :, None]:
            t = _over_deviation((A * r).T @ B, (A_squared * r.square()).T @ B_squared)
            if left == right:
                t.diagonal().zero_()  # that is its square
            largest[left] = largest[left].maximum(t.amax(dim=1))
            largest[right] = largest[right].maximum(t.amax(dim=0))
    return _surprise(largest)


def _over_deviation(score: Tensor, variance: Tensor) -> Tensor:
    return torch.where(variance > 0, score.abs() / variance.sqrt(), 0.0)


def _surprise(t: Tensor) -> Tensor:
    """Return the negative logarithms of two-sided p-values of normal numbers."""
    return -(math.log(2) + torch.special.log_ndtr(-t.double().cpu()))
