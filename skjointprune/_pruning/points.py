"""Points of sparsifying: networks at its end, or on the way."""

from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .._graph.network import Network
from .gates import InputGates

Scores = dict[str, float | None]


@dataclass
class Point:
    """A network at the end of sparsifying, or at a point on the way.

    `kept`, (retained,), are the positions of its inputs among all, `importances`,
    (inputs,), the saliencies of all, 0 for those that went; `scores` are those before
    and after pruning. Rows are behind `gates`.
    """

    network: Network
    alpha: float
    kept: Tensor
    importances: Tensor
    scores: Scores
    gates: InputGates

    def among(self, kept: Tensor, n_inputs: int) -> "Point":
        """Return a point of inputs that were kept of so many, as one of all of them."""
        importances = torch.zeros(n_inputs)
        importances[kept] = self.importances
        return replace(self, kept=kept[self.kept], importances=importances)

    def copy(self) -> "Point":
        """Return a point whose network and gates can be changed without these."""
        return replace(self, network=self.network.copy(), gates=deepcopy(self.gates))
