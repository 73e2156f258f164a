"""Linear layers and convolutions whose weights are normalised before they are used.

Numbers of a weight that are zero stay zero, and the others are the same where these are
gone. So a channel that goes takes its columns with it as zeros: what is left is
normalised without them.
"""

from copy import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TINY = 1e-12  # a row of zeros has this length, and stays one of zeros


class WeightNorm(nn.Module):
    """Gives each row of a weight a length (Salimans and Kingma, arXiv 1602.07868).

    Parameters
    ----------
    scale : nn.Parameter
        The lengths, one for each row, or one for the whole weight.
    """

    def __init__(self, scale: nn.Parameter):
        super().__init__()
        self.scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        """Return a weight, (out, in, …), of the lengths."""
        dims = None if self.scale.numel() == 1 < len(weight) else _within_rows(weight)
        length = torch.linalg.vector_norm(weight, dim=dims, keepdim=True)
        return weight * (_for_rows(self.scale, weight) / length.clamp(min=TINY))


class SpectralNorm(nn.Module):
    """Divides a weight by its largest singular value (Miyato et al., arXiv 1802.05957).

    Parameters
    ----------
    u, v : Tensor of shape (out,), (in times positions,)
        Estimates of the singular vectors.
    n_iterations : int
        How often these are made better at each call in training.
    eps : float
    """

    u: Tensor
    v: Tensor

    def __init__(self, u: Tensor, v: Tensor, n_iterations: int, eps: float):
        super().__init__()
        self.n_iterations, self.eps = n_iterations, eps
        self.register_buffer("u", u)
        self.register_buffer("v", v)

    def forward(self, weight: Tensor) -> Tensor:
        """Return a weight, (out, in, …), whose largest singular value is about 1."""
        matrix = weight.flatten(1)
        u, v = self.u, self.v
        if self.training:
            with torch.no_grad():
                for _ in range(self.n_iterations):
                    u = F.normalize(matrix @ v, dim=0, eps=self.eps)
                    v = F.normalize(u @ matrix, dim=0, eps=self.eps)
                self.u.copy_(u)
                self.v.copy_(v)
        largest = u @ (matrix @ v)
        return weight / (largest + (largest == 0))


class Standardised(nn.Module):
    """Gives each row of a weight mean 0 and variance 1 (Qiao et al., arXiv 1903.10520).

    Parameters
    ----------
    over : int
        Numbers in a row: those that are gone count as zeros.
    eps : float
    place : {"inside", "outside", "most"}
        `eps` is added to the variance, or to the deviation, or is the least of the
        variance times `over`.
    correction : int
        1 for the variance of a sample.
    factor : float
        Of all rows.
    scale : nn.Parameter or None
        Of each row.
    """

    def __init__(
        self,
        over: int,
        eps: float,
        place: str = "inside",
        correction: int = 0,
        factor: float = 1.0,
        scale: nn.Parameter | None = None,
    ):
        super().__init__()
        self.over, self.eps, self.place = over, eps, place
        self.correction, self.factor, self.scale = correction, factor, scale

    def forward(self, weight: Tensor) -> Tensor:
        """Return a weight, (out, in, …), each row standardised and scaled."""
        dims = _within_rows(weight)
        mean = weight.sum(dims, keepdim=True) / self.over
        centred = weight - mean
        missing = self.over - weight[0].numel()
        square = centred.square().sum(dims, keepdim=True) + missing * mean.square()
        variance = square / (self.over - self.correction)
        if self.place == "inside":
            factor = torch.rsqrt(variance + self.eps)
        elif self.place == "outside":
            factor = 1 / (variance.sqrt() + self.eps)
        else:
            factor = torch.rsqrt((variance * self.over).clamp(min=self.eps))
        factor = self.factor * factor
        if self.scale is not None:
            factor = factor * _for_rows(self.scale, weight)
        return torch.where(weight == 0, 0.0, centred * factor)


def _within_rows(weight: Tensor) -> tuple[int, ...]:
    return tuple(range(1, weight.ndim))


def _for_rows(scale: Tensor, weight: Tensor) -> Tensor:
    return scale.view(-1, *[1] * (weight.ndim - 1))


class Normed:
    """Base of layers whose `weight` goes through `norm` before it is used.

    Where `same` is true, as many zeros are put around maps as TensorFlow does.
    """

    norm: nn.Module
    same = False

    @classmethod
    def of(cls, layer: nn.Module, norm: nn.Module, same: bool = False) -> Any:
        """Return a layer with the parameters and sizes of a plain one."""
        new = cls.__new__(cls)
        vars(new).update({name: copy(value) for name, value in vars(layer).items()})
        assert isinstance(new, nn.Module)
        new.norm, new.same = norm, same
        return new.train(layer.training)

    def forward(self: Any, X: Tensor) -> Tensor:
        """Return the outputs of the layer with the normalised weight."""
        weight = self.norm(self.weight)
        if isinstance(self, nn.Linear):
            return F.linear(X, weight, self.bias)
        if self.same:
            X = pad_same(X, self)
        return self._conv_forward(X, weight, self.bias)


def pad_same(X: Tensor, layer: Any) -> Tensor:
    """Return maps with zeros around: a stride of 1 leaves them as large as they were.

    A larger stride divides their sizes, rounded up. Of an odd number of zeros, one more
    comes at the end.
    """
    around: list[int] = []
    sizes = (X.shape[2:], layer.kernel_size, layer.stride, layer.dilation)
    for n, kernel, stride, dilation in zip(*sizes, strict=True):
        read = (-(-n // stride) - 1) * stride + (kernel - 1) * dilation + 1
        more = max(read - n, 0)
        around = [more // 2, more - more // 2, *around]
    return F.pad(X, around)


class NormedLinear(Normed, nn.Linear):
    """A linear layer whose weight is normalised before it is used."""


class NormedConv1d(Normed, nn.Conv1d):
    """A convolution whose weight is normalised before it is used."""


class NormedConv2d(Normed, nn.Conv2d):
    """A convolution of images whose weight is normalised before it is used."""


class NormedConv3d(Normed, nn.Conv3d):
    """A convolution of volumes whose weight is normalised before it is used."""


NORMED: dict[type[nn.Module], Any] = {
    nn.Linear: NormedLinear,
    nn.Conv1d: NormedConv1d,
    nn.Conv2d: NormedConv2d,
    nn.Conv3d: NormedConv3d,
}
