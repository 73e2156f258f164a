"""Importances of inputs: the loss that a finished network gives up without each."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from .._data.inputs import Inputs, Traced
from .._data.prepare import Data
from .._data.readers import slices
from .._data.rows import Rows
from .._pruning.points import Point
from .._utils.torch import evaluating
from .tasks import Task

MOST_ROWS, LEAST_ROWS = 2048, 256  # of which the fewer, the more columns there are
MOST_NUMBERS = 2**22  # of sums, one for each row and column; and of a batch
MOST_PAIRS, PAIRS_PER_ROW = 2**14, 4  # of rows; for each row to train on

LEAST_IMPORTANCE = 1e-12  # so that what stays is above what went

Losses = Callable[[Tensor], Tensor]  # of rows, (rows,)


def importances_of(
    inputs: Inputs, task: Task, point: Point, data: Data, traced: Traced, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return importances of inputs, and their standard errors, in the shape of a row.

    The network of the point is finished, and reads the data. Where an input cannot be
    that of another row, its importance is the estimate by its saliency.
    """
    errors = np.full(traced.support.shape, np.nan)
    if not data.train.exchangeable_inputs:
        return point.importances.double().numpy() ** 2, errors
    importances = np.zeros(traced.support.shape)
    kept, columns = inputs.columns_of_inputs()[traced.kept].unique(return_inverse=True)
    found = loss_given_up(task, point.network.module, data, columns, seed)
    at = kept.numpy()
    means, errors[at] = (values.double().numpy() for values in found)
    importances[at] = means.clip(min=LEAST_IMPORTANCE)
    return importances, errors


def loss_given_up(
    task: Task, module: nn.Module, data: Data, columns: Tensor, seed: int
) -> tuple[Tensor, Tensor]:
    """Return the loss that is given up without each column, and its standard error.

    That is the mean loss more where a column is that of another row. From all columns
    of the other row to those of the row the loss falls by the integral of its gradient,
    of which each column has a share (expected gradients: Erion et al., Nature Machine
    Intelligence 3, 2021). So the sum over columns is the loss more where all are those
    of another row. Columns that no gradient reaches, as they are rounded or looked up,
    are replaced one by one.

    The loss is that of rows that are held out, or of those to train on where fewer than
    two are. The other rows are out of those to train on. Pairs of rows count by the
    product of their weights, and the standard error is over rows of both kinds.

    Parameters
    ----------
    task : Task
    module : nn.Module
        Reads the inputs that the data have left.
    data : Data
        Of a table.
    columns : Tensor of shape (inputs,)
        The number of the column that each of these inputs is of: 0, 1, ….
    seed : int
        Of a generator that all is drawn from, so that training is as without.

    Returns
    -------
    means, errors : Tensor of shape (columns,)
        Means may be negative; errors are NaN where only one row counts.
    """
    known = data.train.sample
    asked = known if data.valid is None or len(data.valid) < 2 else data.valid
    n_columns = int(columns.max()) + 1
    generator = torch.Generator().manual_seed(seed)
    at = at_known = _draw_rows(known, n_columns, generator)
    if asked is not known:
        at = _draw_rows(asked, n_columns, generator)
    n, n_known = len(at), len(at_known)
    n_draws = max(1, min(MOST_PAIRS, PAIRS_PER_ROW * n_known) // n)
    # the sums over all pairs that a row is in: of rows that are asked, then of others
    n_rows = n if asked is known else n + n_known
    sums, weights = torch.zeros(n_rows, n_columns), torch.zeros(n_rows)
    size = min(asked.batch_size_to_score, 1 + MOST_NUMBERS // len(columns))
    with evaluating(module):
        for part in slices(n * n_draws, size):
            pairs = torch.arange(part.start, part.stop)
            draw, row = pairs // n, pairs % n
            t = (draw + torch.rand(len(pairs), generator=generator)) / n_draws
            other = _draw_others(row, n_known, asked is known, generator)
            X, (y, weight) = asked[at[row].numpy()]
            X_other, (_, weight_other) = known[at_known[other].numpy()]
            shares = _shares(
                partial(_losses, task, module, y, weight),
                X,
                X_other,
                t[:, None].to(X.device),
                columns.to(X.device),
            )
            weight = weight * weight_other
            shares = (shares * weight_other[:, None]).cpu()
            for member in (row, other + n_rows - n_known):
                sums.index_add_(0, member, shares)
                weights.index_add_(0, member, weight.cpu())
    return _mean_and_error(sums, weights, n)


def _draw_rows(rows: Rows, n_columns: int, generator: torch.Generator) -> Tensor:
    """Return positions of some rows whose weight is not 0."""
    most = min(MOST_ROWS, max(LEAST_ROWS, MOST_NUMBERS // n_columns))
    counted = rows.weight.cpu().nonzero().flatten()
    return counted[torch.randperm(len(counted), generator=generator)[:most]]


def _draw_others(row: Tensor, n: int, same: bool, generator: torch.Generator) -> Tensor:
    """Return for each row one of n others, none itself where these are the same."""
    if not same:
        return torch.randint(n, row.shape, generator=generator)
    further = torch.randint(max(n - 1, 1), row.shape, generator=generator)
    return (row + 1 + further) % n


def _losses(
    task: Task, module: nn.Module, y: Tensor, weight: Tensor, X: Tensor
) -> Tensor:
    """Return the weighted loss of each row."""
    outputs = module(X.clone())  # the code may change what it is given
    return task.losses(outputs, y) * weight


def _shares(
    losses: Losses, X: Tensor, other: Tensor, t: Tensor, columns: Tensor
) -> Tensor:
    """Return what each column adds to the loss of each row on the way to another."""
    at = torch.lerp(X, other, t).requires_grad_()
    (gradient,) = torch.autograd.grad(
        losses(at).sum(), at, allow_unused=True, materialize_grads=True
    )
    shares = X.new_zeros(len(X), int(columns.max()) + 1)
    shares.index_add_(1, columns, gradient * (other - X))
    reached = torch.zeros_like(shares[0]).index_add_(0, columns, gradient.abs().sum(0))
    if not reached.all():
        _replace_one_by_one(losses, X, other, columns, reached == 0, shares)
    return shares


@torch.no_grad()
def _replace_one_by_one(
    losses: Losses,
    X: Tensor,
    other: Tensor,
    columns: Tensor,
    chosen: Tensor,
    shares: Tensor,
) -> None:
    """Set the shares of chosen columns, a mask, to the loss more without each alone."""
    before = losses(X)
    if torch.equal(losses(torch.where(chosen[columns], other, X)), before):
        return  # nothing reads them
    for column in chosen.nonzero().flatten():
        shares[:, column] = losses(torch.where(columns == column, other, X)) - before


def _mean_and_error(sums: Tensor, weights: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Return the weighted mean over pairs of rows, and its standard error.

    Parameters
    ----------
    sums : Tensor of shape (rows, columns)
        Over the pairs that each row is in, so that a pair counts in two rows.
    weights : Tensor of shape (rows,)
        The sums of their weights.
    n : int
        How many rows are asked.
    """
    total = weights.sum()
    means = sums.sum(dim=0) / total
    # how far the mean moves with each row (Hoeffding's projection)
    moves = 2 * (sums - weights[:, None] * means) / total
    return means, (moves.square().sum(dim=0) * n / (n - 1)).sqrt()
