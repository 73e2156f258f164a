"""The shape of a pruned network, with new weights."""

from copy import deepcopy

import numpy as np
import torch
from torch import nn


class Retained(nn.Module):
    """Takes of each row what is retained: some columns, or a box of an image."""

    def __init__(self, support):
        super().__init__()
        for dim in range(support.ndim):
            others = tuple(other for other in range(support.ndim) if other != dim)
            positions = np.flatnonzero(support.any(axis=others))
            self.register_buffer(f"positions_{dim}", torch.from_numpy(positions))

    def forward(self, X):
        """Return (n, retained, ...)."""
        for dim, positions in enumerate(self.buffers(), start=1):
            X = X.index_select(dim, positions)
        return X


def scratch(module, support):
    """Return a network of the same layers, of as many units each, on the same inputs.

    It takes whole rows, and has none of the weights: convolutions begin as those of
    torchvision do, other layers as torch's. Scaling is left to the estimator.
    """
    network = deepcopy(dict(module.named_children()).get("network", module))
    for layer in network.modules():
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(Retained(support), network.requires_grad_())
