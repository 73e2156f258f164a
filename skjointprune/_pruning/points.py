"""Points of sparsifying: networks at its end, or on the way."""

from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from .._graph.network import Network
from .._graph.state import restore_state_, state_of
from .gates import InputGates

Scores = dict[str, float | None]
HELD = {"network", "gates"}  # by a point, with a state of their own


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

    def state_dict(self) -> dict[str, Any]:
        """Return all of it as a tree of tensors and numbers."""
        return vars(self) | {
            "network": state_of(self.network),
            "gates": self.gates.state_dict(),
        }

    def restored(self, state: dict[str, Any]) -> "Point":
        """Return a point of a state, whose network was made of this one's."""
        new = self.copy()
        restore_state_(new.network, state["network"])
        new.gates.load_state_dict(state["gates"])
        return replace(new, **{n: state[n] for n in state.keys() - HELD})


class KeepsPoints(Protocol):
    """Keeps what it needs of the points on the way."""

    def look(self, point: Point) -> None:
        """Look at a point, whose network is changed later."""

    def state_dict(self) -> dict[str, Any]:
        """Return what it has kept, as a tree of tensors and numbers."""

    def load_state_dict(self, state: dict[str, Any], dense: Point) -> None:
        """Keep what another one has kept, of networks that were made of a dense one."""
