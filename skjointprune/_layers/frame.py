"""A layer that makes images as large as a network needs."""

from torch import Tensor, nn


class Frame(nn.Module):
    """Make images as large as the network needs, of what is retained of them.

    Stands before a mask that zeroes what is not, so it may be anything here.

    Parameters
    ----------
    channels, rows, columns : Tensor
        Of each that the network needs, which one it is of those that are retained.
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
        """Return the larger images."""
        for dim, at in enumerate((self.channels, self.rows, self.columns), start=1):
            X = X.index_select(dim, at)
        return X
