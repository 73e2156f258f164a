"""Embeddings of numbers, by which a network follows sharp functions of one input.

Gorishniy, Rubachev, Babenko, "On embeddings for numerical features in tabular deep
learning", NeurIPS 2022. Each input owns its embedding: they go together.
"""

import math

import torch
from torch import Tensor, nn


class NumberEmbedding(nn.Module):
    """Turn each input into several numbers, by a linear map of its own and a ReLU.

    Parameters
    ----------
    n_features_in : int
        Number of inputs.
    n_codes : int
        How many numbers the code of an input has, which the map reads.
    width : int
        How many numbers it makes.
    """

    def __init__(self, n_features_in: int, n_codes: int, width: int):
        super().__init__()
        self.n_features_in = n_features_in
        bound = 1 / math.sqrt(n_codes)
        weight = torch.empty(n_features_in, n_codes, width)
        self.weight = nn.Parameter(weight.uniform_(-bound, bound))
        bias = torch.empty(n_features_in, width)
        self.bias = nn.Parameter(bias.uniform_(-bound, bound))

    @property
    def width(self) -> int:
        """How many numbers each input becomes."""
        return self.bias.shape[1]

    def encode(self, columns: Tensor) -> Tensor:
        """Return codes, (inputs, rows, codes), of columns, (inputs, rows, 1)."""
        raise TypeError(f"{type(self).__name__} has no `encode`; add one.")

    def forward(self, X: Tensor) -> Tensor:
        """Return (rows, inputs * width) for rows of standardised inputs."""
        codes = self.encode(X.t()[..., None])
        made = torch.baddbmm(self.bias[:, None], codes, self.weight).relu()
        return made.transpose(0, 1).flatten(1)

    def extra_repr(self) -> str:
        """Say how many inputs there are, and how many numbers each becomes."""
        return f"{self.n_features_in}, width={self.width}"


class PeriodicEmbedding(NumberEmbedding):
    """Embed numbers by sines and cosines whose frequencies are trained.

    Parameters
    ----------
    n_features_in : int
        Number of inputs, which are expected to be standardised.
    width : int, default=8
        How many numbers each becomes.
    n_frequencies : int, default=24
        Frequencies of each input.
    scale : float, default=0.1
        Standard deviation of the frequencies before training, in turns for each
        standard deviation of the input.

    Examples
    --------
    >>> import torch
    >>> from skjointprune.modules import PeriodicEmbedding
    >>> PeriodicEmbedding(3)(torch.randn(5, 3)).shape
    torch.Size([5, 24])
    """

    def __init__(
        self,
        n_features_in: int,
        width: int = 8,
        n_frequencies: int = 24,
        scale: float = 0.1,
    ):
        super().__init__(n_features_in, 2 * n_frequencies, width)
        random = torch.randn(n_features_in, n_frequencies)
        self.frequencies = nn.Parameter(scale * random)

    def encode(self, columns: Tensor) -> Tensor:
        """Return cosines and sines, (inputs, rows, 2 * frequencies)."""
        turns = 2 * math.pi * columns * self.frequencies[:, None]
        return torch.cat([turns.cos(), turns.sin()], dim=-1)


class PiecewiseEmbedding(NumberEmbedding):
    """Embed numbers by how far they are through each of a row of bins.

    Parameters
    ----------
    n_features_in : int
        Number of inputs, which are expected to be standardised.
    width : int, default=8
        How many numbers each becomes.
    n_bins : int, default=24
        Number of bins, at least 3. They have the same share of a normal distribution
        each; the outer two have no end.

    Examples
    --------
    >>> import torch
    >>> from skjointprune.modules import PiecewiseEmbedding
    >>> PiecewiseEmbedding(3, width=2)(torch.randn(5, 3)).shape
    torch.Size([5, 6])
    """

    left: Tensor
    span: Tensor

    def __init__(self, n_features_in: int, width: int = 8, n_bins: int = 24):
        super().__init__(n_features_in, n_bins, width)
        shares = torch.arange(n_bins + 1, dtype=torch.float64) / n_bins
        edges = torch.special.ndtri(shares.clamp(0.1 / n_bins, 1 - 0.1 / n_bins))
        self.register_buffer("left", edges[:-1].float())
        self.register_buffer("span", edges.diff().float())

    def encode(self, columns: Tensor) -> Tensor:
        """Return how far each number is through each bin, (inputs, rows, bins)."""
        through = (columns - self.left) / self.span
        first, inner, last = through.split([1, through.shape[-1] - 2, 1], dim=-1)
        parts = [first.clamp(max=1), inner.clamp(0, 1), last.clamp(min=0)]
        return torch.cat(parts, dim=-1)


EMBEDDINGS = {"periodic": PeriodicEmbedding, "piecewise": PiecewiseEmbedding}
