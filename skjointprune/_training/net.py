"""Training on skorch: the net, a loader that slices whole batches, callbacks."""

import torch
from skorch import NeuralNet
from skorch.callbacks import (
    EpochTimer,
    PassthroughScoring,
    PrintLog,
)

from .._data.images import Images
from .._data.tables import Table
from .callbacks import StopOnDivergence


class PruningNet(NeuralNet):
    """A net on weighted rows, with few callbacks: they cost each step.

    Where rows come with the outputs of a teacher, a share `distillation` of the loss
    is the `distance` from these. With `amp`, training steps run in bfloat16 where
    torch finds that safe.
    """

    def __init__(self, *args, distillation=0.0, distance=None, amp=False, **kwargs):
        super().__init__(*args, **kwargs)
        self.amp = amp
        self.distillation = distillation
        self.distance = distance

    @property
    def _default_callbacks(self):
        return [
            ("epoch_timer", EpochTimer()),
            ("train_loss", PassthroughScoring(name="train_loss", on_train=True)),
            ("valid_loss", PassthroughScoring(name="valid_loss")),
            ("divergence", StopOnDivergence()),
            ("print_log", PrintLog()),
        ]

    def infer(self, x, **fit_params):
        """Return the outputs for a batch."""
        if not (self.amp and self.module_.training):
            return super().infer(x, **fit_params)
        with torch.autocast(torch.device(self.device).type, torch.bfloat16):
            return super().infer(x, **fit_params).float()

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Return the weighted mean loss of a batch of outputs."""
        weighted = isinstance(y_true, tuple | list)
        target, weight, *teacher = y_true if weighted else (y_true, 1.0)
        losses = self.criterion_(y_pred, target)  # (rows,) or (rows, outputs)
        if losses.ndim > 1:
            losses = losses.mean(dim=1)
        if teacher:
            soft = self.distance(y_pred, *teacher)
            losses = self.distillation * soft + (1 - self.distillation) * losses
        return (losses * weight).mean()


def finished(**kwargs):
    """Stand in for the module of a finished net, which is not built again."""
    raise ValueError(
        f"`net_` holds the finished, compact network and does not build it again (got "
        f"{sorted(kwargs)}). Set `module__…` on the estimator and fit it."
    )


def train(net: PruningNet, table: Table | Images, epochs: int) -> None:
    """Train an initialised net; unlike skorch's `fit`, let interrupts through."""
    net.notify("on_train_begin", X=table, y=None)
    try:
        net.fit_loop(table, epochs=epochs)
    finally:
        net.notify("on_train_end", X=table, y=None)
