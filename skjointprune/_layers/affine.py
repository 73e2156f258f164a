"""A layer that scales and shifts."""

from torch import Tensor, nn


class Affine(nn.Module):
    """Multiply each column, or channel of an image, by a scale, and add a shift.

    Stands before or after a network whose layers cannot take the two up.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, scale: Tensor, shift: Tensor):
        super().__init__()
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)

    def forward(self, X: Tensor) -> Tensor:
        """Return rows on the other scale."""
        return X * self.scale + self.shift
