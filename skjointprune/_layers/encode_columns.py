"""A layer that makes numbers of categories and gaps."""

import torch
from torch import Tensor, nn


class EncodeColumns(nn.Module):
    """Give a network numbers for the columns of a table that hold categories or gaps.

    A category comes as the position of its level. It becomes one number a level, 1 for
    the level of the row and 0 for others. What is missing is NaN; a missing number
    becomes `fill`. A gap is a number of its own, 1 where the value is missing.

    Parameters
    ----------
    source : Tensor of shape (n_numbers,), int
        The column that each number is made of.
    level : Tensor of shape (n_numbers,)
        The level that each number stands for; below 0 for the number of the column
        itself, and for gaps.
    gap : Tensor of shape (n_numbers,), bool
        Whether each number says that the value is missing.
    fill : Tensor of shape (n_numbers,)
        What stands for a missing number.
    """

    source: Tensor
    level: Tensor
    gap: Tensor
    fill: Tensor

    def __init__(self, source: Tensor, level: Tensor, gap: Tensor, fill: Tensor):
        super().__init__()
        self.register_buffer("source", source)
        self.register_buffer("level", level)
        self.register_buffer("gap", gap)
        self.register_buffer("fill", fill)

    def forward(self, X: Tensor) -> Tensor:
        """Return (rows, n_numbers) for rows of columns."""
        X = X.index_select(1, self.source)
        missing = X.isnan()
        numbers = torch.where(missing, self.fill, X)
        numbers = torch.where(self.level < 0, numbers, (self.level == X).to(X.dtype))
        return torch.where(self.gap, missing.to(X.dtype), numbers)

    def extra_repr(self) -> str:
        """Say how many columns become how many numbers."""
        n_columns = len(self.source.unique())
        return f"{n_columns} columns, {len(self.source)} numbers"
