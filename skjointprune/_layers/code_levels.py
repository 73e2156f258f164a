"""A layer that takes levels of categories as they are."""

import torch
from torch import Tensor, nn


class CodeLevels(nn.Module):
    """Put positions of levels in place of levels that are numbers.

    Parameters
    ----------
    n_columns : int
        How many columns rows have.
    at : Tensor of shape (n_coded,), int
        The columns that hold such levels.
    levels : Tensor of shape (n_coded, most)
        Their levels, filled up with NaN.
    others : Tensor of shape (n_coded,)
        What stands for all other levels.
    """

    at: Tensor
    levels: Tensor
    others: Tensor
    order: Tensor

    def __init__(self, n_columns: int, at: Tensor, levels: Tensor, others: Tensor):
        super().__init__()
        order = torch.arange(n_columns)
        order[at] = n_columns + torch.arange(len(at))  # where `forward` puts positions
        self.register_buffer("at", at)
        self.register_buffer("levels", levels)
        self.register_buffer("others", others)
        self.register_buffer("order", order)

    def forward(self, X: Tensor) -> Tensor:
        """Return rows with positions, and NaN where a value is missing."""
        values = X.index_select(1, self.at)
        same = values.unsqueeze(-1) == self.levels  # (rows, n_coded, most)
        positions = torch.arange(self.levels.shape[1], dtype=X.dtype)
        found = (same.to(X.dtype) * positions).sum(dim=-1)
        codes = torch.where(same.any(dim=-1), found, self.others)
        codes = torch.where(values.isnan(), values, codes)
        return torch.cat([X, codes], dim=1).index_select(1, self.order)
