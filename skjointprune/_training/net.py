"""The net of skorch that every phase trains, and that predicts once it is finished."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import EarlyStopping, EpochTimer, PassthroughScoring, PrintLog
from skorch.dataset import get_len
from torch import nn

from .._data.rows import Rows
from .batches import Batches
from .ranks import ALONE, Ranks
from .tasks import Task

try:
    import cloudpickle  # which joblib requires,
except ImportError:
    from joblib.externals import cloudpickle  # or, before 1.6, holds

STEPS_UNREAD = 100  # whose losses are read together


class PruningNet(NeuralNet):
    """A net on weighted rows, with few callbacks: they cost each step.

    Losses are read after many steps, and when an epoch ends: who reads one waits until
    a GPU has computed it, and gives the GPU nothing to do meanwhile. Until then they
    are tensors in the history.

    Where rows come with the outputs of a teacher, a share `distillation` of the loss
    is the `distance` from these. With `amp`, training steps run in bfloat16 where
    torch finds that safe.
    """

    ranks: Ranks = ALONE  # while it is trained
    _unread: list[tuple[dict[str, Any], str]]  # batches, and what is unread of them

    def __init__(self, *args, distillation=0.0, distance=None, amp=False, **kwargs):
        super().__init__(*args, **kwargs)
        self._unread = []
        self.amp = amp
        self.distillation = distillation
        self.distance = distance

    @property
    def _default_callbacks(self):
        return [
            ("epoch_timer", EpochTimer()),
            ("train_loss", PassthroughScoring(name="train_loss", on_train=True)),
            ("valid_loss", PassthroughScoring(name="valid_loss")),
            *([("print_log", PrintLog())] if self.verbose else []),
        ]

    def __getstate__(self):
        """Return what is pickled; what is on a device as bytes, for any device.

        skorch makes these bytes by pickle, which names classes of a notebook though no
        other process has them, whatever pickles the net.
        """
        state = self.__dict__.copy()
        held = [
            k for k in state if k.startswith(tuple(self.cuda_dependent_attributes_))
        ]
        on_device = {key: state.pop(key) for key in held}
        state["__cuda_dependent_attributes__"] = cloudpickle.dumps(on_device)
        return state

    def _set_training(self, training=True):
        """Set the mode of all layers, if it is not that of the module already.

        skorch does so in each step, and visits every layer.
        """
        if self.module_.training != training:
            super()._set_training(training)

    def notify(self, method_name: str, **kwargs: Any) -> None:
        """Call callbacks as skorch does; say which of skorch's own has failed.

        Raises
        ------
        ValueError
            If one does not suit this net, as one that knows the usual loaders of rows.
        """
        getattr(self, method_name)(self, **kwargs)
        for name, callback in self.callbacks_:
            try:
                getattr(callback, method_name)(self, **kwargs)
            except Exception as error:
                if not type(callback).__module__.startswith("skorch."):
                    raise  # of the user, who knows it
                raise ValueError(
                    f"The callback {name!r} ({type(callback).__name__}) failed in "
                    f"{method_name} with {type(error).__name__}: {error}. Change its "
                    "parameters, or leave it out."
                ) from error

    def run_single_epoch(
        self,
        iterator: Iterable[Any] | None,
        training: bool,
        prefix: str,
        step_fn: Callable[..., dict[str, Any]],
        **fit_params: Any,
    ) -> None:
        """Run an epoch as skorch does, but for when losses are read."""
        if iterator is None:
            return
        n_batches = 0
        loss, size = f"{prefix}_loss", f"{prefix}_batch_size"
        try:
            for batch in iterator:
                self.notify("on_batch_begin", batch=batch, training=training)
                step = step_fn(batch, **fit_params)
                row = self.history[-1]["batches"][-1]
                row |= {loss: step["loss"].detach(), size: get_len(batch[0])}
                self._unread.append((row, loss))
                self.notify("on_batch_end", batch=batch, training=training, **step)
                n_batches += 1
                if len(self._unread) >= STEPS_UNREAD:
                    self.read_losses()
        finally:  # whatever it is that ends it may come of a loss that is not finite
            self.read_losses()
        self.history.record(f"{prefix}_batch_count", n_batches)

    def read_losses(self) -> None:
        """Put numbers in the place of losses that were not read yet.

        Raises
        ------
        ValueError
            If one of training is not finite.
        """
        unread, self._unread = self._unread, []
        if not unread:
            return
        losses = torch.stack([row[name] for row, name in unread]).tolist()
        for (row, name), loss in zip(unread, losses, strict=True):
            row[name] = loss
        diverged = [loss for loss in losses if not math.isfinite(loss)]
        if diverged and "train_loss" in unread[0][0]:
            raise ValueError(
                f"The training loss became {diverged[0]} in epoch "
                f"{self.history[-1, 'epoch']}. Lower `lr` (now {self.lr:g}), or look "
                "for extreme values in X, and for NaN in what `module` gives."
            )

    def train_step_single(self, batch, **fit_params):
        """Take the gradients of a batch, of which each rank runs a share."""
        step = super().train_step_single(batch, **fit_params)
        self.ranks.sum_gradients_(self.module_.parameters())
        return step

    def infer(self, x, **fit_params):
        """Return the outputs for a batch, of which each rank runs a share."""
        if self.ranks.several:
            return self.ranks.run(self._infer_alone, x)
        return self._infer_alone(x, **fit_params)

    def _infer_alone(self, x, **fit_params):
        if not (self.amp and self.module_.training):
            return super().infer(x, **fit_params)
        kind = torch.device(self.device).type
        # copies of weights would outlive a step within a user's own autocast
        with torch.autocast(kind, torch.bfloat16, cache_enabled=False):
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


def refuse_to_build(**kwargs):
    """Stand in for the module of a finished net, which is not built again."""
    raise ValueError(
        f"`net_` holds the finished, compact network and does not build it again (got "
        f"{sorted(kwargs)}). Set `module__…` on the estimator and fit it."
    )


def build_net(module: nn.Module, task: Task, **params: Any) -> PruningNet:
    """Return an initialised net around a module, for one phase or to predict with.

    Parameters
    ----------
    module : nn.Module
        Trained in place.
    task : Task
        What is learnt.
    **params
        Of skorch's `NeuralNet`. `batch_size_to_score` is how many rows are run at once
        where nothing is trained.
    """
    return PruningNet(
        module,
        criterion=task.criterion,
        criterion__reduction="none",
        predict_nonlinearity=task.read,
        distance=task.distance,
        iterator_train=Batches,
        iterator_valid=Batches,
        iterator_valid__batch_size=params.pop("batch_size_to_score"),
        **params,
    ).initialize()


def finish_(net: PruningNet, module: nn.Module) -> None:
    """Let a net predict by the finished network alone, and never build it again."""
    if net.compile:  # so is the loss; setting it makes that anew, and says so
        net.set_params(compile=False)
    net.module_ = module.eval()
    net.initialize_optimizer()
    net.module = refuse_to_build
    net.train_split = None  # it holds rows


def train(
    net: PruningNet,
    rows: Rows,
    epochs: int,
    begin: Callable[[], int] | None = None,
    end: Callable[[], None] | None = None,
    ranks: Ranks = ALONE,
) -> None:
    """Train an initialised net; unlike skorch's `fit`, let interrupts through.

    `EarlyStopping` ends it, too. `begin` is called once callbacks have begun; it may go
    on with an earlier training, and returns how many epochs are left. `end` is called
    when no more are to come, before callbacks end. All ranks begin, and end, with the
    numbers of the first, and end with its history.
    """
    ranks.share_(net.module_)
    net.notify("on_train_begin", X=rows, y=None)
    left = epochs if begin is None else begin()
    net.ranks = ranks
    try:
        try:
            net.fit_loop(rows, epochs=left)
        except KeyboardInterrupt:  # which is how skorch's callback stops it
            stoppers = [c for _, c in net.callbacks_ if isinstance(c, EarlyStopping)]
            if not any(c.misses_ == c.patience for c in stoppers):
                raise
        if end is not None:
            end()
    finally:
        del net.ranks
        net.notify("on_train_end", X=rows, y=None)
    ranks.share_(net.module_)
    net.history = ranks.value_of_first(net.history)
