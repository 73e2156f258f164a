"""A layer that scatters the inputs that are left into a row of full width."""

import torch
from torch import Tensor, nn


class ScatterInputs(nn.Module):
    """Put columns where they were, with zeros for those that are gone.

    Stands before a network that reads inputs by their positions, as by a slice, or by
    layers without a rule. The network stays as wide as it was; inputs that it sees as
    zeros in every row can be left out. Each input has a scale, which is trained.

    Parameters
    ----------
    width : int
        How many columns there were.
    """

    places: Tensor

    def __init__(self, width: int):
        super().__init__()
        self.width = width
        self.weight = nn.Parameter(torch.ones(width))
        self.register_buffer("places", torch.arange(width))

    def forward(self, X: Tensor) -> Tensor:
        """Return rows, (rows, width), for rows of the inputs that are left."""
        X = X * self.weight
        full = X.new_zeros(X.shape[0], self.width)
        return full.scatter(1, self.places.expand(X.shape), X)

    def extra_repr(self) -> str:
        """Describe how many columns are left, of how many."""
        return f"{len(self.places)} of {self.width}"
