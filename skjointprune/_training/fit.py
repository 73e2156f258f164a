"""What the phases of a fit hand on, and what comes out, as values."""

from dataclasses import dataclass

import numpy as np
from skorch.history import History
from torch import nn

from .._data.inputs import Inputs
from .._data.prepare import Data
from .._data.targets import Targets
from .._graph.network import Network
from .._pruning.points import Point
from .._report.report import NetworkSize, PruningReport
from .net import PruningNet


@dataclass(frozen=True)
class Start:
    """A dense network, trained where that was asked for, before anything goes."""

    network: Network
    size: NetworkSize
    history: History


@dataclass(frozen=True)
class Sparse:
    """A sparse network on data of its inputs, with the history of its training."""

    point: Point
    data: Data
    dense: NetworkSize
    history: History


@dataclass(frozen=True)
class Fit:
    """What a fit found: all that an estimator, or a file, needs to predict.

    Attributes
    ----------
    inputs, targets : Inputs, Targets
        What X and y were.
    net : PruningNet
        Holds the finished network.
    support : ndarray of bool
        The retained inputs, in the shape of a row of X.
    importances, importance_errors : ndarray
        The loss that the network gives up without each input, and its standard error;
        in the shape of a row of X.
    history : History
        A row an epoch, of all phases.
    report : PruningReport
    """

    inputs: Inputs
    targets: Targets
    net: PruningNet
    support: np.ndarray
    importances: np.ndarray
    importance_errors: np.ndarray
    history: History
    report: PruningReport

    @property
    def network(self) -> nn.Module:
        """The finished network, over the retained raw inputs."""
        return self.net.module_
