"""Losses of a network on rows, and how sure their mean is."""

import torch
from torch import Tensor, nn

from .._data.readers import slices
from .._data.rows import Rows
from .._utils.torch import evaluating
from .batches import run_rows
from .tasks import Task

ROWS_TO_COMPARE = 4096


def losses_of_rows(task: Task, module: nn.Module, rows: Rows) -> Tensor:
    """Return the weighted loss of each row, (rows,)."""
    outputs, y, weight = run_rows(module, rows)
    return task.losses(outputs, y) * weight


def gains_over_constant(
    task: Task, known: Rows, outputs: Tensor, y: Tensor, weight: Tensor
) -> Tensor:
    """Return how much less loss each row has than by a constant, (rows,), weighted.

    The constant is what is best for the known rows. Outputs are taken as near to it as
    the task says.
    """
    constant = task.best_constant(known.y, known.weight).expand_as(outputs)
    near = constant.lerp(outputs, task.nearness)
    return (task.losses(constant, y) - task.losses(near, y)) * weight


def mean_loss(task: Task, module: nn.Module, rows: Rows) -> float:
    """Return the mean loss of rows, of the first where there are many."""
    rows = rows.sample
    n = min(len(rows), ROWS_TO_COMPARE)
    with evaluating(module), torch.no_grad():
        parts = slices(n, rows.batch_size_to_score)
        outputs = torch.cat([module(rows[part][0]) for part in parts])
    # all at once: a row may have a loss beside others only
    return float((task.losses(outputs, rows.y[:n]) * rows.weight[:n]).mean())


def mean_and_error(values: Tensor) -> tuple[float, float]:
    """Return the mean of values, (rows,), and its standard error; infinite for one."""
    n = len(values)
    error = float(values.std()) / n**0.5 if n > 1 else float("inf")
    return float(values.mean()), error
