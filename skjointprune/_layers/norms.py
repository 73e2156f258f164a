"""Normalisation over channels, some of which can go.

`torch.nn.LayerNorm` takes means over all channels it is given, and so gives other
outputs when some are removed. These layers have the same parameters, and know how many
channels there were: without zeroed channels they give the same outputs.
"""

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Norm(nn.Module):
    """Base of layers that normalise over a dimension `dim` of channels.

    Parameters
    ----------
    width : int
        Number of channels that are left.
    over : int
        Number of channels in the mean: those that are gone count as zeros.
    eps : float or None
        Added to the variance, or to the mean square; None as in torch.
    scale, shift : bool
        Whether each channel has a `weight` and a `bias`.
    """

    dim = -1

    def __init__(
        self, width: int, over: int, eps: float | None, scale: bool, shift: bool
    ):
        super().__init__()
        self.width, self.over = width, over
        self.eps: Any = eps
        self.weight = nn.Parameter(torch.ones(width)) if scale else None
        self.bias = nn.Parameter(torch.zeros(width)) if shift else None

    @classmethod
    def of(cls, given: nn.LayerNorm | nn.RMSNorm | nn.GroupNorm) -> Self:
        """Return the same normalisation, over all channels, with its parameters."""
        if isinstance(given, nn.GroupNorm):
            width = given.num_channels
        else:
            (width,) = given.normalized_shape
        new = cls(width, width, given.eps, scale=False, shift=False)
        new.weight, new.bias = given.weight, getattr(given, "bias", None)
        return new.train(given.training)

    @property
    def normalized_shape(self) -> tuple[int]:
        """Sizes of what is normalised: an attribute of torch's layer."""
        return (self.width,)

    def _scaled(self, X: Tensor, dim: int) -> Tensor:
        """Scale and shift the channels along a dimension."""
        shape = [self.width if d == dim % X.ndim else 1 for d in range(X.ndim)]
        return _scaled(X, self.weight, self.bias, shape)

    def extra_repr(self) -> str:
        """Describe the layer as its class is called."""
        has = f"scale={self.weight is not None}, shift={self.bias is not None}"
        return f"{self.width}, over={self.over}, eps={self.eps}, {has}"


class LayerNorm(Norm):
    """Layer normalisation (Ba et al., arXiv 1607.06450) over the last dimension."""

    def forward(self, X: Tensor) -> Tensor:
        """Return X, (…, width), normalised, scaled and shifted."""
        if self.width == self.over:
            return F.layer_norm(X, (self.width,), self.weight, self.bias, self.eps)
        share = self.width / self.over
        return layer_norm(X, (self.width,), self.weight, self.bias, self.eps, share)


class LayerNorm2d(LayerNorm):
    """Layer normalisation over the channels of an image, at each of its positions."""

    dim = 1

    def forward(self, X: Tensor) -> Tensor:
        """Return X, (n, width, rows, columns), normalised, scaled and shifted."""
        return super().forward(X.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class GroupNorm(Norm):
    """Group normalisation (Wu and He, arXiv 1803.08494) of one group: all of a row."""

    num_groups, dim = 1, 1

    @property
    def num_channels(self) -> int:
        """Number of channels: an attribute of torch's layer."""
        return self.width

    def forward(self, X: Tensor) -> Tensor:
        """Return X, (n, width, …), normalised, scaled and shifted."""
        if self.width == self.over:
            return F.group_norm(X, 1, self.weight, self.bias, self.eps)
        share = self.width / self.over
        return group_norm(X, 1, self.weight, self.bias, self.eps, share)


class RMSNorm(Norm):
    """Normalisation by the root mean square (Zhang and Sennrich, arXiv 1910.07467)."""

    def forward(self, X: Tensor) -> Tensor:
        """Return X, (…, width), normalised and scaled."""
        if self.width == self.over:
            return F.rms_norm(X, (self.width,), self.weight, self.eps)
        share = self.width / self.over
        return rms_norm(X, (self.width,), self.weight, self.eps, share)


class RMSNorm2d(RMSNorm):
    """Normalisation by the root mean square over the channels of an image."""

    dim = 1

    def forward(self, X: Tensor) -> Tensor:
        """Return X, (n, width, rows, columns), normalised and scaled."""
        return super().forward(X.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class DeviationNorm(Norm):
    """Division by the deviation of a sample, plus `eps`, over the last dimension.

    As "The annotated transformer" (Rush, 2018) writes layer normalisation.
    """

    def forward(self, X: Tensor) -> Tensor:
        """Return X, (…, width), normalised, scaled and shifted."""
        wide = _wide(X)
        mean = wide.sum(-1, keepdim=True) / self.over
        square = wide.square().sum(-1, keepdim=True) - self.over * mean**2
        deviation = (square.clamp(min=0) / (self.over - 1)).sqrt()
        return _as_torch(self._scaled((wide - mean) / (deviation + self.eps), -1), X)


class ResponseNorm(Norm):
    """Global response normalisation (Woo et al., arXiv 2301.00808), channels last."""

    def forward(self, X: Tensor) -> Tensor:
        """Return X, (n, rows, columns, width), plus what its responses scale."""
        positions = (1, 2) if self.dim == -1 else (2, 3)
        response = X.norm(dim=positions, keepdim=True)
        mean = response.sum(self.dim, keepdim=True) / self.over
        return X + self._scaled(X * (response / (mean + self.eps)), self.dim)


class ResponseNorm2d(ResponseNorm):
    """Global response normalisation of images whose channels come first."""

    dim = 1


NORMS: tuple[type[Norm], ...] = (
    LayerNorm,
    LayerNorm2d,
    GroupNorm,
    RMSNorm,
    RMSNorm2d,
    DeviationNorm,
    ResponseNorm,
    ResponseNorm2d,
)


def layer_norm(
    X: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    share: float = 1.0,
) -> Tensor:
    """Return what torch's function does where a share of the channels is left."""
    dims = tuple(range(-len(normalized_shape), 0))
    out = _standardised(_wide(X), dims, share, eps)
    return _as_torch(_scaled(out, weight, bias, normalized_shape), X)


def group_norm(
    X: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    share: float = 1.0,
) -> Tensor:
    """Return what torch's function does of one group, of which a share is left."""
    out = _standardised(_wide(X), tuple(range(1, X.ndim)), share, eps)
    return _as_torch(_scaled(out, weight, bias, (-1, *[1] * (X.ndim - 2))), X)


def rms_norm(
    X: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
    share: float = 1.0,
) -> Tensor:
    """Return what torch's function does where a share of the channels is left."""
    wide = _wide(X)
    eps = torch.finfo(wide.dtype).eps if eps is None else eps
    dims = tuple(range(-len(normalized_shape), 0))
    square = share * wide.square().mean(dims, keepdim=True)
    out = wide * _inverse_root(square, eps)
    return _as_torch(_scaled(out, weight, None, normalized_shape), X)


def _scaled(
    X: Tensor, weight: Tensor | None, bias: Tensor | None, shape: Sequence[int]
) -> Tensor:
    """Scale and shift X by parameters of a shape."""
    X = X if weight is None else X * weight.view(*shape)
    return X if bias is None else X + bias.view(*shape)


def _standardised(X: Tensor, dims: tuple[int, ...], share: float, eps: float) -> Tensor:
    """Return X normalised over dimensions, of which zeros are missing."""
    var, mean = torch.var_mean(X, dims, correction=0, keepdim=True)
    var = share * (var + (1 - share) * mean**2)
    return (X - share * mean) * _inverse_root(var, eps)


def _inverse_root(square: Tensor, eps: float) -> Tensor:
    """Return one by the root of a mean square plus `eps`.

    An export to ONNX takes 1e-12 for nothing, and leaves the sum out. It is no less.
    """
    return torch.rsqrt((square + eps).clamp(min=eps))


def _as_torch(out: Tensor, X: Tensor) -> Tensor:
    """Return outputs in the type that torch's layer gives: of X, or by autocast."""
    wide = X.is_cuda and torch.is_autocast_enabled("cuda")
    return out if wide else out.to(X.dtype)


def _wide(X: Tensor) -> Tensor:
    """Return X in a type that sums of squares fit in."""
    return X.to(torch.promote_types(X.dtype, torch.float32))
