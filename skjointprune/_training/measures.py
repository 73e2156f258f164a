"""Which saliency a network is pruned by, given the data that it is trained on."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from .._data.prepare import Data
from .._data.rows import batches_in_order
from .._graph.network import Network
from .._pruning.input_costs import CostSaliency, DrawnRows
from .._pruning.saliency import FisherSaliency, Saliency
from .tasks import Task

LEAST_MEMORY = 100  # steps over which squared gradients are averaged
ROWS_AT_AN_EVENT = 1024  # on which the costs of inputs are measured


def make_saliency(
    network: Network, data: Data, task: Task, n_batches: int, n_steps: int
) -> Saliency:
    """Return what measures the channels of a network in a phase of `n_steps` steps.

    Costs of inputs are measured on rows to train on: where these are few, those that
    are held out are too few to tell inputs apart.
    """
    params: dict[str, Any] = {
        "gates": data.gates,
        "batch_size": len(data.train) / n_batches,
        "memory": max(task.memory * n_steps, LEAST_MEMORY),
    }
    if not data.train.exchangeable_inputs:
        return FisherSaliency(network, **params)

    def draw_rows(generator: torch.Generator) -> Iterator[DrawnRows]:
        known = data.train.sample
        drawn = torch.randperm(len(known), generator=generator).numpy()
        drawn = drawn[:ROWS_AT_AN_EVENT]
        for part in batches_in_order(len(drawn), data.train.batch_size_to_score):
            X, (y, weight) = known[drawn[part]]
            yield X, partial(weighted_losses, y=y, weight=weight)

    def weighted_losses(outputs: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        return task.losses(outputs, y) * weight

    return CostSaliency(network, draw_rows, **params)
