"""Training on skorch: the net, a loader that slices whole batches, callbacks."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import (
    Callback,
    EpochTimer,
    LRScheduler,
    PassthroughScoring,
    PrintLog,
)
from torch import Tensor
from torch.utils.data import Dataset

from .._graph.network import Network
from .._data.images import Images, InputGates
from .._pruning.schedules import Schedule
from .._pruning.sparsifier import Sparsifier
from .tasks import Score


class Table(Dataset):
    """Rows on one device, with targets and weights, indexed by whole batches.

    Columns can be dropped on the way. The copy that this takes is put off until it
    pays: before, the columns that are left are picked from each batch.
    """

    batch_size_to_score = 4096

    def __init__(self, X: Tensor, y: Tensor, weight: Tensor):
        self.X, self.y, self.weight = X, y, weight
        self.teacher: Tensor | None = None  # its outputs, (rows, outputs)
        # only images have these
        self.mask: Tensor | None = None
        self.gates: InputGates | None = None
        self._columns: Tensor | None = None

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, rows):
        X = self.X[rows]
        if self._columns is not None:
            X = X.index_select(-1, self._columns)
        elif isinstance(rows, slice):  # no view: the code may change what it is given
            X = X.clone()
        return X, (self.y[rows], self.weight[rows])

    def batches(self, at: Sequence[Any], taught: bool = False) -> Iterator[Any]:
        """Return batches of some rows each; with the outputs of the teacher."""
        return map(self._with_teacher if taught else self.__getitem__, at)

    def _with_teacher(self, rows):
        X, of = self[rows]
        assert self.teacher is not None
        return X, (*of, self.teacher[rows])

    def keep_inputs(self, kept: Tensor) -> None:
        """Keep some of the present columns, given by their positions."""
        kept = kept.to(self.X.device)
        columns = kept if self._columns is None else self._columns[kept]
        if len(columns) == self.X.shape[1]:
            return
        if len(columns) < 0.7 * self.X.shape[1]:
            self.X, self._columns = self.X[:, columns], None
        else:
            self._columns = columns


class Batches:
    """Slice a dataset into batches of nearly equal size, all rows, none alone.

    Batch normalisation learns nothing from one row, so there are at least two.
    Most of the cost of a loader on tables is collating row by row; here a batch is
    one indexing operation. `noise` is the standard deviation of what is added to X;
    with `taught`, targets come with the outputs of a teacher.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        shuffle: bool = False,
        noise: float = 0.0,
        taught: bool = False,
    ):
        self.dataset, self.batch_size = dataset, batch_size
        self.shuffle, self.noise, self.taught = shuffle, noise, taught

    def __len__(self) -> int:
        n = len(self.dataset)
        return max(1, min(math.ceil(n / self.batch_size), n // 2))

    def __iter__(self) -> Iterator[Any]:
        n = len(self.dataset)
        ends = np.linspace(0, n, len(self) + 1).astype(int)
        at: list[Any] = [slice(start, end) for start, end in pairwise(ends.tolist())]
        if self.shuffle:
            order = torch.randperm(n).numpy()
            at = [order[rows] for rows in at]
        if isinstance(self.dataset, Table | Images):
            batches = self.dataset.batches(at, self.taught)
        else:  # what skorch makes to predict
            batches = map(self.dataset.__getitem__, at)
        for X, of in batches:
            if self.noise:
                X = X + self.noise * torch.randn_like(X)
            yield X, of


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


def score_table(module: torch.nn.Module, table: Table | Images, score: Score) -> float:
    """Return the score of a module on the rows of a table."""
    module.eval()
    with torch.inference_mode():
        batches = Batches(table, table.batch_size_to_score)
        rows = [(module(X), *of) for X, of in batches]
    return score(*(torch.cat(parts) for parts in zip(*rows, strict=True)))


def train(net: PruningNet, table: Table | Images, epochs: int) -> None:
    """Train an initialised net; unlike skorch's `fit`, let interrupts through."""
    net.notify("on_train_begin", X=table, y=None)
    try:
        net.fit_loop(table, epochs=epochs)
    finally:
        net.notify("on_train_end", X=table, y=None)


class HeldOutScore(Callback):
    """Record the score on held-out rows once an epoch, as `name`."""

    def __init__(self, score: Score, name: str):
        self.score, self.name = score, name

    def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        """Score the held-out rows, if there are any."""
        if dataset_valid is not None:
            score = score_table(net.module_, dataset_valid, self.score)
            net.history.record(self.name, score)
            best = max(net.history[:, self.name])
            net.history.record(f"{self.name}_best", score >= best)


class StopOnDivergence(Callback):
    """Stop at the first loss that is not finite, before it spoils the weights."""

    def on_batch_end(self, net, loss=None, training=False, **kwargs):
        """Look at the loss of every training step."""
        if training and not math.isfinite(loss.item()):
            raise ValueError(
                f"The training loss became {loss.item()} in epoch "
                f"{net.history[-1, 'epoch']}. Lower `lr` (now {net.lr:g}), or look "
                "for extreme values in X, and for NaN in what `module` gives."
            )


class Prune(Callback):
    """Prune at even intervals between two moments of training.

    Parameters
    ----------
    make_sparsifier : callable
        Given the optimiser, returns the `Sparsifier`.
    schedule : Schedule
        Says when, and what to ask of the sparsifier.
    tables : list of Table
        Rows whose columns go as inputs go.
    n_steps : int
        Optimiser steps of the whole phase.
    on_start : callable
        Called before anything is pruned.
    on_event : callable
        Called after each event, with its number.
    """

    def __init__(
        self,
        make_sparsifier: Callable[[torch.optim.Optimizer], Sparsifier],
        schedule: Schedule,
        tables: list[Table],
        n_steps: int,
        on_start: Callable[[], None],
        on_event: Callable[[int], None],
    ):
        self.make_sparsifier = make_sparsifier
        self.schedule = schedule
        self.tables = tables
        self.n_steps = n_steps
        self.on_start, self.on_event = on_start, on_event

    def on_train_begin(self, net, **kwargs):
        """Bind to the optimiser and spread the events over the steps."""
        self.sparsifier_ = self.make_sparsifier(net.optimizer_)
        plan = self.schedule
        at = np.ceil(np.linspace(plan.start, plan.stop, plan.n_events) * self.n_steps)
        # Where there are fewer steps than events, the last event of a step counts.
        self.event_at_ = {int(step): event for event, step in enumerate(at)}
        self.step_ = 0

    def on_grad_computed(self, net, named_parameters, training=False, **kwargs):
        """Let the sparsifier see the gradients before the optimiser's step."""
        if training:
            self.sparsifier_.watch()

    def on_batch_end(self, net, training=False, **kwargs):
        """Prune after the optimiser's step, when it is time."""
        if not training:
            return
        self.step_ += 1
        event = self.event_at_.get(self.step_)
        if event is None:
            return
        if self.step_ == min(self.event_at_):
            self.on_start()
        kept = self.schedule.prune(self.sparsifier_, event)
        for table in self.tables:
            table.keep_inputs(kept)
        self.on_event(event)


class OneCycle(LRScheduler):
    """A schedule that lets go of the optimiser, so that a fitted net stays small."""

    def on_train_end(self, net, **kwargs):
        """Drop the scheduler, which holds the optimiser and its state."""
        self.lr_scheduler_ = None


def inputs_left(network: Network, rows: Table | Images) -> int:
    """Count the inputs that a network still reads; of images, their numbers."""
    if rows.mask is not None:
        return int(rows.mask.sum())
    n = math.prod(network.input_shape)
    if rows.gates is None:
        return n
    open_ = rows.gates.support()  # the same of all channels that may go alone
    return n * int(open_.sum()) // open_.numel()


class Progress(Callback):
    """Show a bar over the epochs of a phase, with what is left of the network."""

    shown_layers = 4  # of more, the units are summed

    def __init__(self, phase: str, epochs: int, network: Network):
        self.phase, self.epochs, self.network = phase, epochs, network

    def on_train_begin(self, net, X=None, **kwargs):
        """Open the bar."""
        # skorch brings it; its import warns in notebooks without ipywidgets
        from tqdm.auto import tqdm

        self.rows_ = X
        self.bar_ = tqdm(total=self.epochs, desc=self.phase, unit="epoch")

    def on_epoch_end(self, net, **kwargs):
        """Move it on."""
        last = net.history[-1]
        names = ("train_loss", "valid_acc", "valid_r2")
        units = [c.size for c in self.network.hidden]
        by_layer = len(units) <= self.shown_layers
        shown = {
            "inputs": inputs_left(self.network, self.rows_),
            "units": "-".join(map(str, units)) if by_layer else sum(units),
        }
        shown |= {name: f"{last[name]:.4f}" for name in names if name in last}
        # `update` shows it, as often as can be read.
        self.bar_.set_postfix(shown, refresh=False)
        self.bar_.update()

    def close(self):
        """Close it, however training ended."""
        self.bar_.close()
