"""New weights, in part or all: before retraining, and for fewer inputs."""

from copy import deepcopy

import torch
from torch import nn

from .._data.prepare import Data
from .._graph.network import Network
from .losses import mean_loss
from .tasks import Task


def forget_(task: Task, network: Network, data: Data, share: float) -> None:
    """Bring weights closer to new ones, the more they hold for their rows alone.

    What was learnt by heart is not unlearnt by more training: a network that begins
    with it is worse on other rows than a new one. The weights become
    c w + (1 - c) w_new, where c is the loss on rows to train on over that on rows held
    out, or what the task has in its place (Ash, Adams, "On warm-starting neural network
    training", arXiv 1910.08475, where c is a constant).

    Parameters
    ----------
    task : Task
    network : Network
        Changed in place, where it is one for tables and rows are held out: those for
        images need more epochs than one retraining to begin anew.
    data : Data
    share : float
        Of the epochs of a fit that it will be trained for; less is forgotten where
        there is less time to learn it again.
    """
    if data.valid is None or not data.train.exchangeable_inputs:
        return
    known = mean_loss(task, network.module, data.train)
    unknown = mean_loss(task, network.module, data.valid)
    if known >= unknown:
        return
    forgotten = share * (1 - task.carries_over(known, unknown))
    new = deepcopy(network.module)
    reset_(new)
    with torch.no_grad():
        parts = zip(network.module.parameters(), new.parameters(), strict=True)
        for weights, new_weights in parts:
            weights.lerp_(new_weights, forgotten)


def reset_(module: nn.Module) -> None:
    """Draw new weights, for the sizes that layers have now."""
    for layer in module.modules():
        if callable(reset := getattr(layer, "reset_parameters", None)):
            reset()
