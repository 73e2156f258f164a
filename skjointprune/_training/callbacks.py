"""Callbacks of skorch: one job each."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback, LRScheduler
from torch import Tensor

from .._data.rows import Rows
from .._graph.network import Network
from .._pruning.points import KeepsPoints, Point, Scores
from .._pruning.schedules import Schedule
from .._pruning.sparsifier import Sparsifier
from .losses import mean_and_error
from .progress import Progress
from .tasks import Task


class HeldOut(Callback):
    """Score held-out rows once an epoch, if there are any.

    With `keeps_best`, training ends with the weights of the epoch of the least loss on
    these rows, where the last epoch is worse by more than one standard error of the
    difference. Within that, the last epoch has the better weights: it was trained to
    the end of its schedule, and few rows cannot tell more.
    """

    def __init__(self, task: Task, keeps_best: bool = False):
        self.task, self.keeps_best = task, keeps_best

    def on_train_begin(self, net, **kwargs):
        """Forget an earlier training."""
        self.best_: tuple[Tensor, dict[str, Any]] | None = None
        self.last_: Tensor | None = None

    def state_dict(self):
        """Return the best weights so far, and the losses of these and of the last."""
        return {"best": self.best_, "last": self.last_}

    def load_state_dict(self, state):
        """Know what one of the same training knew."""
        self.best_, self.last_ = state["best"], state["last"]

    def on_epoch_begin(self, net, **kwargs):
        """Forget the outputs of the last epoch."""
        self.read_: list[tuple[Tensor, ...]] = []

    def on_batch_end(self, net, batch=None, training=False, y_pred=None, **kwargs):
        """Keep outputs for held-out rows, with their targets and weights."""
        if not training:
            self.read_.append((y_pred, *batch[1]))

    def on_epoch_end(self, net, **kwargs):
        """Score the held-out rows, and copy weights that are the best so far."""
        if not self.read_:
            return
        name = self.task.column
        parts = zip(*self.read_, strict=True)
        outputs, y, weight = (torch.cat(tensors) for tensors in parts)
        self.read_ = []
        score = self.task.score(outputs, y, weight)
        net.history.record(name, score)
        net.history.record(f"{name}_best", score >= max(net.history[:, name]))
        if self.keeps_best:
            self.last_ = self.task.losses(outputs, y) * weight
            if self.best_ is None or self.last_.mean() < self.best_[0].mean():
                state = net.module_.state_dict()
                self.best_ = self.last_, deepcopy(state)

    def on_train_end(self, net, **kwargs):
        """Return to the best weights, if the last are surely worse."""
        if self.best_ is None or self.last_ is None:
            return
        losses, state = self.best_
        worse, error = mean_and_error(self.last_ - losses)
        if worse > error:
            net.module_.load_state_dict(state)
        self.best_ = self.last_ = None  # they hold memory


class Prune(Callback):
    """Prune at even intervals between two moments of training.

    Parameters
    ----------
    make_sparsifier : callable
        Given the optimiser, returns the `Sparsifier`.
    schedule : Schedule
        Says when, and what to ask of the sparsifier.
    parts : list of Rows
        Rows that lose inputs as the network does.
    n_steps : int
        Optimiser steps of the whole phase.
    on_start : callable
        Called before anything is pruned.
    on_event : callable
        Called after each event, with its number.
    scores : dict or None
        What `on_start` and `on_event` note.
    points : object with `state_dict` and `load_state_dict`, or None
        What `on_event` keeps of networks on the way.
    """

    def __init__(
        self,
        make_sparsifier: Callable[[torch.optim.Optimizer], Sparsifier],
        schedule: Schedule,
        parts: list[Rows],
        n_steps: int,
        on_start: Callable[[], None],
        on_event: Callable[[int], None],
        scores: Scores | None = None,
        points: KeepsPoints | None = None,
    ):
        self.make_sparsifier = make_sparsifier
        self.schedule = schedule
        self.parts = parts
        self.n_steps = n_steps
        self.on_start, self.on_event = on_start, on_event
        self.scores = {} if scores is None else scores
        self.points = points

    def on_train_begin(self, net, **kwargs):
        """Bind to the optimiser and spread the events over the steps."""
        self.sparsifier_ = self.make_sparsifier(net.optimizer_)
        plan = self.schedule
        share = np.linspace(plan.start, plan.stop, plan.n_events)
        steps = np.ceil(share * self.n_steps)
        # Where there are fewer steps than events, the last event of a step counts.
        self.event_at_ = {int(step): event for event, step in enumerate(steps)}
        self.step_ = 0
        self.kept_: list[Tensor] = []  # at each event at which inputs went

    def state_dict(self):
        """Return how far it is, and what it has done, but to the network itself."""
        return {
            "step": self.step_,
            "kept": self.kept_,
            "scores": self.scores,
            "sparsifier": self.sparsifier_.state_dict(),
            "alpha": self.schedule.alpha,
            "points": None if self.points is None else self.points.state_dict(),
        }

    def load_state_dict(self, state):
        """Go on where another was, as long as the network is as it was at first."""
        if self.points is not None:
            sparsifier = self.sparsifier_
            dense = Point(
                sparsifier.network,
                0.0,
                sparsifier.support,
                sparsifier.importances(),
                {},
                sparsifier.gates,
            )
            self.points.load_state_dict(state["points"], dense.copy())
        self.step_, self.kept_ = state["step"], state["kept"]
        self.scores.update(state["scores"])
        self.sparsifier_.load_state_dict(state["sparsifier"])
        self.schedule.alpha = state["alpha"]
        # One by one, as they went: how rows lie in memory decides how sums are rounded.
        for kept in self.kept_:
            for rows in self.parts:
                rows.keep_inputs(kept)

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
        net.read_losses()  # what has diverged has no saliencies
        if self.step_ == min(self.event_at_):
            self.on_start()
        kept = self.schedule.prune(self.sparsifier_, event)
        for rows in self.parts:
            rows.keep_inputs(kept)
        self.kept_.append(kept)
        self.on_event(event)


class OneCycle(LRScheduler):
    """A schedule that lets go of the optimiser, so that a fitted net stays small."""

    def on_train_end(self, net, **kwargs):
        """Drop the scheduler, which holds the optimiser and its state."""
        self.lr_scheduler_ = None


class Advance(Callback):
    """Let the line of a fit know of each step of a phase."""

    def __init__(self, progress: Progress, n_batches: int, network: Network):
        self.progress, self.n_batches, self.network = progress, n_batches, network

    def on_train_begin(self, net, X=None, **kwargs):
        """Take note of the rows, which know what gets through to the network."""
        self.rows_ = X

    def on_batch_end(self, net, training=False, **kwargs):
        """Move it on."""
        if training:
            self.progress.advance(1 / self.n_batches, self._count_inputs)

    def _count_inputs(self) -> int:
        return self.rows_.count_inputs(self.network.input_shape)
