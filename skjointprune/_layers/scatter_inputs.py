"""A layer that lets any network lose inputs: it puts those that are left in place."""

import torch
from torch import Tensor, nn


class PutBack(nn.Module):
    """Put columns back where they were, with zeros for those that are gone.

    Stands before a network that reads its inputs by their positions, as by a slice, or
    that no rule tells of. That one stays as wide as it was, and works no less; but an
    input that is zero to it for every row need not be there. Each input has a scale,
    which is trained.

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
        """Return rows, (rows, width), for rows of what is left."""
        X = X * self.weight
        full = X.new_zeros(X.shape[0], self.width)
        return full.scatter(1, self.places.expand(X.shape), X)

    def extra_repr(self) -> str:
        """Say how many columns there are, and were."""
        return f"{len(self.places)} of {self.width}"
