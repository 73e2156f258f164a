"""A layer that scales and shifts."""

from torch import Tensor, nn


class Affine(nn.Module):
    """Multiply by a scale and add a shift: to each column, or channel of an image.

    Stands before or after a layer that the two cannot be folded into.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, scale: Tensor, shift: Tensor):
        super().__init__()
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)

    def forward(self, X: Tensor) -> Tensor:
        """Return the rows on the other scale."""
        return X * self.scale + self.shift
