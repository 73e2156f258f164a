"""Which saliency a network is pruned by, given the data that it is trained on."""

from typing import Any

import torch

from .._data.prepare import Data
from .._graph.network import Network
from .._pruning.input_costs import CostSaliency
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

    most = min(ROWS_AT_AN_EVENT, data.train.batch_size_to_score)

    def draw_rows(generator: torch.Generator):
        drawn = torch.randperm(len(data.train), generator=generator)
        X, (y, weight) = data.train[drawn[:most].numpy()]
        return X, lambda outputs: task.losses(outputs, y) * weight

    return CostSaliency(network, draw_rows, **params)
