"""What stands before the first layer of a network for tables.

By embeddings of numbers it follows sharp functions of one input (Gorishniy, Rubachev,
Babenko, "On embeddings for numerical features in tabular deep learning", NeurIPS 2022).
Each input owns its embedding: they go together.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEAST_SPAN = 1e-6  # of a bin, in standard deviations


class NumberEmbedding(nn.Module):
    """Turn each input into several numbers: itself, and what its code is mapped to.

    The map is linear, the input's own, and followed by a ReLU.

    Parameters
    ----------
    n_features_in : int
        Number of inputs.
    n_codes : int
        How many numbers the code of an input has, which the map reads.
    width : int
        How many numbers each input becomes, at least 2.
    """

    def __init__(self, n_features_in: int, n_codes: int, width: int):
        super().__init__()
        self.n_features_in = n_features_in
        self.width = width
        self.weight = nn.Parameter(torch.empty(n_features_in, n_codes, width - 1))
        self.bias = nn.Parameter(torch.empty(n_features_in, width - 1))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw new weights, as those of `nn.Linear` are drawn."""
        bound = 1 / math.sqrt(self.weight.shape[1])
        self.weight.uniform_(-bound, bound)
        self.bias.uniform_(-bound, bound)

    def encode(self, columns: Tensor) -> Tensor:
        """Return codes, (inputs, rows, codes), of columns, (inputs, rows, 1)."""
        raise TypeError(f"{type(self).__name__} has no `encode`; add one.")

    def forward(self, X: Tensor) -> Tensor:
        """Return (rows, inputs * width) for rows of standardised inputs."""
        codes = self.encode(X.t()[..., None])
        made = torch.baddbmm(self.bias[:, None], codes, self.weight).relu()
        return torch.cat([X[..., None], made.transpose(0, 1)], dim=-1).flatten(1)

    def extra_repr(self) -> str:
        """Say how many inputs there are, and how many numbers each becomes."""
        return f"{self.n_features_in}, width={self.width}"


class PeriodicEmbedding(NumberEmbedding):
    """Embed numbers by sines and cosines whose frequencies are trained.

    Parameters
    ----------
    n_features_in : int
        Number of inputs, which are expected to be standardised.
    width : int, default=4
        How many numbers each becomes, the number itself among them.
    n_frequencies : int, default=16
        Frequencies of each input.
    scale : float, default=0.1
        Standard deviation of the frequencies before training, in turns for each
        standard deviation of the input.

    Examples
    --------
    >>> import torch
    >>> from skjointprune.modules import PeriodicEmbedding
    >>> PeriodicEmbedding(3)(torch.randn(5, 3)).shape
    torch.Size([5, 12])
    """

    def __init__(
        self,
        n_features_in: int,
        width: int = 4,
        n_frequencies: int = 16,
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
    width : int, default=4
        How many numbers each becomes, the number itself among them.
    n_bins : int, default=16
        Number of bins. They have the same share of a normal distribution each, until
        `set_bins` takes them from rows.

    Examples
    --------
    >>> import torch
    >>> from skjointprune.modules import PiecewiseEmbedding
    >>> PiecewiseEmbedding(3, width=2)(torch.randn(5, 3)).shape
    torch.Size([5, 6])
    """

    left: Tensor  # (inputs, bins)
    span: Tensor

    def __init__(self, n_features_in: int, width: int = 4, n_bins: int = 16):
        super().__init__(n_features_in, n_bins, width)
        shares = torch.arange(n_bins + 1, dtype=torch.float64) / n_bins
        edges = torch.special.ndtri(shares.clamp(0.1 / n_bins, 1 - 0.1 / n_bins))
        edges = edges.float().expand(n_features_in, -1)
        self.register_buffer("left", edges[:, :-1].contiguous())
        self.register_buffer("span", edges.diff())

    @torch.no_grad()
    def set_bins(self, X: Tensor) -> None:
        """Let each bin hold the same share of some rows, (rows, n_features_in).

        Where many rows have one number, a bin has no width. It then tells that number
        from the next larger one, and rises between the two: a step at the number
        itself would make a large difference of a small error of rounding.
        """
        n_edges = self.left.shape[1] + 1
        shares = torch.linspace(0, 1, n_edges, dtype=X.dtype, device=X.device)
        for i, column in enumerate(X.t()):
            edges = torch.quantile(column, shares)
            left, span = edges[:-1], edges.diff()
            numbers = column.unique()  # in their order
            after = torch.searchsorted(numbers, left, right=True)
            # beyond the largest number it rises somewhere
            gap = torch.cat([numbers, numbers[-1:] + 4])[after] - left
            flat = span < LEAST_SPAN
            self.left[i] = torch.where(flat, left + gap / 4, left)
            self.span[i] = torch.where(flat, (gap / 2).clamp(min=LEAST_SPAN), span)

    def encode(self, columns: Tensor) -> Tensor:
        """Return how far each number is through each bin, (inputs, rows, bins)."""
        through = (columns - self.left[:, None]) / self.span[:, None]
        return F.hardtanh(through, 0.0, 1.0)  # its gradient costs less than `clamp`'s


class SmoothClip(nn.Module):
    """Bring numbers far from zero closer: x / sqrt(1 + (x / limit)^2).

    Close to zero they stay what they are; none gets beyond the limit. So one extreme
    number in a row cannot take the outputs anywhere (Holzmüller, Grinsztajn, Steinwart,
    "Better by default: strong pre-tuned MLPs and boosted trees on tabular data", 2024).

    Parameters
    ----------
    limit : float
        In standard deviations, where numbers are standardised.
    """

    def __init__(self, limit: float):
        super().__init__()
        self.limit = limit

    def forward(self, X: Tensor) -> Tensor:
        """Return numbers of the same shape."""
        return X / (1 + (X / self.limit) ** 2).sqrt()

    def extra_repr(self) -> str:
        """Say how far numbers get."""
        return f"limit={self.limit:g}"


class InputScale(nn.Module):
    """Multiply all numbers of an input by a factor of its own, which is learnt quickly.

    In a step, Adam moves all weights about equally far, also those of an input that
    tells nothing. It moves factors further. So such an input fades before rows are
    learnt by heart with it (Holzmüller, Grinsztajn, Steinwart, "Better by default:
    strong pre-tuned MLPs and boosted trees on tabular data", 2024). SGD, whose steps
    are in proportion to gradients, moves a factor like any other weight.

    Parameters
    ----------
    n_features_in : int
        Number of inputs.
    width : int, default=1
        How many numbers each input has become, by an embedding.
    speed : float, default=8
        Adam moves a factor this many times as far as another weight.

    Examples
    --------
    >>> import torch
    >>> from skjointprune.modules import InputScale
    >>> InputScale(3, width=4)(torch.randn(5, 12)).shape
    torch.Size([5, 12])
    """

    def __init__(self, n_features_in: int, width: int = 1, speed: float = 8.0):
        super().__init__()
        self.n_features_in = n_features_in
        self.width = width
        self.speed = speed
        self.weight = nn.Parameter(torch.empty(n_features_in))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Set all factors to 1."""
        self.weight.fill_(1 / self.speed)

    def forward(self, X: Tensor) -> Tensor:
        """Return numbers of the same shape, (rows, n_features_in * width)."""
        # Factors are `speed` times the weights. Their derivative is 1 / speed, so that
        # a step of SGD moves a factor by its own derivative.
        moved = self.weight / self.speed
        factors = moved + (self.speed - 1 / self.speed) * self.weight.detach()
        return X * factors.repeat_interleave(self.width)

    def extra_repr(self) -> str:
        """Say how many inputs there are, and how many numbers each has become."""
        return f"{self.n_features_in}, width={self.width}, speed={self.speed:g}"


EMBEDDINGS = {"periodic": PeriodicEmbedding, "piecewise": PiecewiseEmbedding}
