"""A layer that fills cropped images up to the size that a network needs."""

from torch import Tensor, nn


class Frame(nn.Module):
    """Fill cropped images up to the size that the network needs.

    What is not retained is filled with copies of what is: a mask after this layer
    zeroes it.

    Parameters
    ----------
    channels, rows, columns : Tensor
        For each channel, row or column that the network needs, the index of the one to
        take of those that are retained.
    """

    channels: Tensor
    rows: Tensor
    columns: Tensor

    def __init__(self, channels: Tensor, rows: Tensor, columns: Tensor):
        super().__init__()
        self.register_buffer("channels", channels)
        self.register_buffer("rows", rows)
        self.register_buffer("columns", columns)

    def forward(self, X: Tensor) -> Tensor:
        """Return images of the size that the network needs."""
        for dim, index in enumerate((self.channels, self.rows, self.columns), start=1):
            X = X.index_select(dim, index)
        return X
