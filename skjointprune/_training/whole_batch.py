"""Layers that need the whole batch, where a network is run on a share of its rows."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

# What draws for each row: what is drawn for a whole batch is what one process draws.
BY_ROW = (
    F.dropout,
    F.dropout1d,
    F.dropout2d,
    F.dropout3d,
    F.alpha_dropout,
    F.feature_alpha_dropout,
    torch.bernoulli,
    torch.rand_like,
    torch.randn_like,
)

SumInPlace = Callable[[Tensor], None]  # over all ranks


class WholeBatch(TorchFunctionMode):
    """Lets functions of torch give a share of rows what they get in the whole batch.

    Batch normalisation takes its statistics over all ranks, also in the backward pass.
    (torch's `SyncBatchNorm` does so on GPUs only, and is another layer.) Dropout and
    noise are drawn for all rows, in their order.

    Parameters
    ----------
    n_rows : int
        Of the whole batch.
    share : slice
        Positions of the rows that are run here.
    sum_ : callable
        Adds up a tensor over ranks, in place.
    """

    def __init__(self, n_rows: int, share: slice, sum_: SumInPlace):
        super().__init__()
        self.n_rows, self.share, self.sum_ = n_rows, share, sum_

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Call a function, or what stands for it."""
        kwargs = kwargs or {}
        if func is F.batch_norm:
            return self._batch_norm(*args, **kwargs)
        if func in BY_ROW:
            return self._by_row(func, *args, **kwargs)
        return func(*args, **kwargs)

    def _by_row(self, func: Callable, X: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Call a function on a whole batch that is 0 but for the rows here."""
        n_here = self.share.stop - self.share.start
        if not X.ndim or len(X) % n_here:  # no rows, or not in this order
            return func(X, *args, **kwargs)
        times = len(X) // n_here  # a row may be several, as parts of an image are
        before = X.new_zeros(self.share.start * times, *X.shape[1:])
        after = X.new_zeros((self.n_rows - self.share.stop) * times, *X.shape[1:])
        made = func(torch.cat([before, X, after]), *args, **kwargs)
        return made[len(before) : len(before) + len(X)]

    def _batch_norm(
        self,
        X: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        """Normalise channels, the second dimension, over the rows of all ranks."""
        if not training:
            return F.batch_norm(
                X, running_mean, running_var, weight, bias, False, momentum, eps
            )
        shape = [-1 if dim == 1 else 1 for dim in range(X.ndim)]
        dims = [dim for dim in range(X.ndim) if dim != 1]
        wide = X.to(torch.promote_types(X.dtype, torch.float32))
        n_here = wide.new_tensor([X.numel() // X.shape[1]])
        *sums, n = self._sum(torch.cat([wide.sum(dims), n_here])).split([X.shape[1], 1])
        mean = sums[0] / n
        centred = wide - mean.view(shape)
        var = self._sum(centred.square().sum(dims)) / n
        with torch.no_grad():
            if running_mean is not None:
                running_mean.lerp_(mean.to(running_mean), momentum)
            if running_var is not None:
                running_var.lerp_((var * n / (n - 1)).to(running_var), momentum)
        out = centred * (var + eps).rsqrt().view(shape)
        if weight is not None:
            out = out * weight.view(shape)
        if bias is not None:
            out = out + bias.view(shape)
        return out.to(X.dtype)

    def _sum(self, values: Tensor) -> Tensor:
        return _Sum.apply(values, self.sum_)


class _Sum(torch.autograd.Function):
    """The sum over ranks; so is its gradient."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, sum_: SumInPlace) -> Tensor:
        """Return the sum of values over ranks."""
        ctx.sum_ = sum_
        total = values.clone(memory_format=torch.contiguous_format)
        sum_(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Return the sum of gradients over ranks."""
        (gradient,) = gradients
        total = gradient.clone(memory_format=torch.contiguous_format)
        ctx.sum_(total)
        return total, None
