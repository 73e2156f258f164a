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
    scaled : Tensor of shape (width,), bool, or None
        Which columns are scaled; None for all. One that is looked up must come as it
        is.
    """

    places: Tensor
    scaled: Tensor | None

    def __init__(self, width: int, scaled: Tensor | None = None):
        super().__init__()
        self.width = width
        self.weight = nn.Parameter(torch.ones(width))
        self.register_buffer("places", torch.arange(width))
        self.register_buffer("scaled", scaled)

    def forward(self, X: Tensor) -> Tensor:
        """Return rows, (rows, width), for rows of the inputs that are left."""
        if self.scaled is None:
            X = X * self.weight
        else:
            X = torch.where(self.scaled, X * self.weight, X)
        full = X.new_zeros(X.shape[0], self.width)
        return full.scatter(1, self.places.expand(X.shape), X)

    def extra_repr(self) -> str:
        """Describe how many columns are left, of how many."""
        return f"{len(self.places)} of {self.width}"
