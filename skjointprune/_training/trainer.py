"""Training of one phase: dense, sparsifying, or what is left of a network."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from skorch.helper import predefined_split
from skorch.history import History
from torch import Tensor, nn

from .._data.prepare import Data
from .._data.rows import ROWS_TO_CHECK, n_batches
from .._graph.network import Network
from .._pruning.masks import Masks
from .._pruning.points import KeepsPoints, Point, Scores
from .._pruning.prices import Prices
from .._pruning.schedules import Rise, Schedule, Sweep
from .._pruning.sparsifier import Sparsifier
from .._utils.torch import evaluating
from .._utils.warn import warn_caller
from .batches import Change, add_noise, score_rows
from .callbacks import Advance, HeldOut, Prune
from .checkpoint import Checkpoint, KeepState
from .forget import forget_
from .losses import mean_loss
from .measures import make_saliency
from .net import PruningNet, build_net, train
from .phase_callbacks import (
    NamedCallbacks,
    before_retraining,
    of_retraining,
    with_cycle,
)
from .progress import Progress
from .ranks import ALONE, Ranks
from .run_state import RunState
from .settings import noise_of_retraining, resolve_input_noise
from .tasks import Task

# optimisers that change all parameters in one kernel
FUSED = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD)
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
USUAL_ALPHA = 0.02
UNIT_SHARE = 0.03  # of the root of a loss, as saliencies are


@dataclass(frozen=True)
class Trainer:
    """How to train: the parameters of an estimator, resolved.

    `input_noise` is that while inputs are chosen; "auto" is resolved when a phase
    begins, by the columns that are left, and has some while retraining as well. Each
    phase adds a row an epoch to the history that it is given.
    """

    task: Task
    input_noise: float | str
    distillation: float
    lr: float
    batch_size: int
    optimizer: type[torch.optim.Optimizer]
    optimizer_params: dict[str, Any]
    device: torch.device
    progress: Progress
    checkpoint: Checkpoint
    amp: bool
    compile: bool | str
    callbacks: NamedCallbacks
    ranks: Ranks = ALONE

    def train_dense(
        self, network: Network, data: Data, epochs: int, phase: str, history: History
    ) -> None:
        """Train a network that is to lose nothing yet, in one cycle of `lr`."""
        whole = data.ungated()
        callbacks = self._callbacks_before_retraining(data)
        callbacks = self._with_cycle(callbacks, whole, epochs)
        net = self._build_net(
            network, whole, callbacks, may_compile=True, keeps_best=True
        )
        self._run(net, network, whole, epochs, phase, history)

    def train_masked(
        self, network: Network, data: Data, epochs: int, masks: Masks, history: History
    ) -> None:
        """Train a network on rows of which inputs are hidden, in one cycle of `lr`."""
        callbacks = self._callbacks_before_retraining(data)
        callbacks = self._with_cycle(callbacks, data, epochs)
        changes = [*self._noise(data), masks.hide_some]
        net = self._build_net(network, data, callbacks, changes=changes)
        self._run(net, network, data, epochs, "sparsify", history)

    def teach(self, teacher: Network, data: Data) -> None:
        """Let the rows to train on know what a trained network gives for them."""
        module = teacher.module.eval()
        # Augmented rows ask for outputs in each step, so that speed counts; others
        # keep what they are given once.
        amp = self.amp and data.train.augmented

        def outputs(X: Tensor) -> Tensor:
            kind = X.device.type
            with (
                torch.no_grad(),
                torch.autocast(kind, torch.bfloat16, amp, cache_enabled=False),
            ):
                return module(X).float()

        data.train.learn_from(outputs)

    def sparsify(
        self,
        network: Network,
        data: Data,
        epochs: int,
        prices: Prices,
        schedule: Rise,
        history: History,
    ) -> Point:
        """Train while groups go; inputs of the data go with those of the network."""
        sparsifier, scores = self._sparsify(
            network, data, epochs, prices, schedule, history
        )
        starved = sorted(set(sparsifier.starved))
        if starved and schedule.alpha_of_units is None:  # no number was asked for
            names = ", ".join(map(repr, starved))
            warn_caller(
                f"`alpha`={schedule.alpha:g} is so large that none of the channels "
                f"{names} would survive; the most salient are kept. Lower `alpha`."
            )
        return self._point(sparsifier, schedule.alpha, data, scores)

    def sweep(
        self,
        network: Network,
        data: Data,
        epochs: int,
        prices: Prices,
        schedule: Sweep,
        history: History,
        points: KeepsPoints,
    ) -> None:
        """Train while groups go until all are gone.

        `points` looks at each point on the way, whose network is changed later.
        """

        def note(event: int, sparsifier: Sparsifier, scores: Scores) -> None:
            if schedule.point_at(event) is not None:
                points.look(self._point(sparsifier, schedule.alpha, data, scores))

        self._sparsify(network, data, epochs, prices, schedule, history, note, points)

    def _sparsify(
        self,
        network: Network,
        data: Data,
        epochs: int,
        prices: Prices,
        schedule: Schedule,
        history: History,
        note: Callable[[int, Sparsifier, Scores], None] | None = None,
        points: KeepsPoints | None = None,
    ) -> tuple[Sparsifier, Scores]:
        scores: Scores = {}

        def on_start() -> None:
            scores["before pruning"] = self.score(network, data)

        def on_event(event: int) -> None:
            if note is not None:
                note(event, pruning.sparsifier_, scores)

        n_steps = epochs * self.n_batches(data)
        pruning = Prune(
            lambda optimizer: Sparsifier(
                network,
                data.gates,
                self.ranks.share_saliency(
                    make_saliency(
                        network, data, self.task, self.n_batches(data), n_steps
                    ),
                    data.gates,
                ),
                prices,
                optimizer,
                rows=lambda: data.train.sample[:ROWS_TO_CHECK][0].detach(),
            ),
            schedule,
            data.parts,
            n_steps=n_steps,
            on_start=on_start,
            on_event=on_event,
            scores=scores,
            points=points,
        )
        callbacks = [("prune", pruning), *self._callbacks_before_retraining(data)]
        net = self._build_net(network, data, callbacks, changes=self._noise(data))
        self._run(net, network, data, epochs, "sparsify", history)
        return pruning.sparsifier_, scores

    def _point(
        self, sparsifier: Sparsifier, alpha: float, data: Data, scores: Scores
    ) -> Point:
        network = sparsifier.network
        with evaluating(network.module):
            scores = scores | {"after pruning": self.score(network, data)}
        return Point(
            network,
            alpha,
            sparsifier.support,
            sparsifier.importances(),
            scores,
            data.gates,
        )

    def retrain(
        self,
        network: Network,
        data: Data,
        epochs: int,
        units_left: float,
        share: float,
        history: History,
    ) -> PruningNet:
        """Train the compact network without penalty, in one cycle of `lr`.

        Dropout falls with the share of the units that are left: fewer need less of it
        (Han et al., arXiv 1506.02626, of connections). Beside a teacher it does harm,
        and is turned off. An interrupt ends it with a warning: the network works at
        any time.
        """
        taught = data.train.teacher is not None
        if epochs and not taught:
            forget_(self.task, network, data, share)
        left = 0.0 if taught else units_left
        for layer in network.module.modules():
            if isinstance(layer, DROPOUTS):
                layer.p *= left
        callbacks = self._with_cycle(self._callbacks(data), data, epochs)
        net = self._build_net(
            network,
            data,
            callbacks,
            changes=self._noise_of_retraining(network, data),
            distillation=self.distillation if taught else 0.0,
            may_compile=True,
            keeps_best=True,
        )
        try:
            self._run(net, network, data, epochs, "retrain", history)
        except KeyboardInterrupt:
            if share < 1 or self.ranks.several:  # others are to follow, or wait
                raise
            self.checkpoint.interrupt()
            warn_caller(
                f"Retraining was interrupted in epoch {len(net.history)}. The "
                "estimator is fitted and usable; fit again for a better one."
            )
        return net

    def score(self, network: Network, data: Data) -> float | None:
        """Return the score on held-out rows, if there are any."""
        if data.valid is None:
            return None
        return score_rows(network.module, data.valid, self.task.score)

    def threshold_of_units(self, network: Network, data: Data) -> float:
        """Return the `alpha` of units where none is given.

        Of classes, labels and events it is `USUAL_ALPHA`. Of numbers, a unit may cost a
        small share of the loss that is left on held-out rows, or else on rows to train
        on: a fixed cost would be nothing where targets are noisy, and all there is to
        lose where they are not.
        """
        if not self.task.loss_of_noise:
            return USUAL_ALPHA
        loss = mean_loss(self.task, network.module, data.valid or data.train)
        return self.ranks.value_of_first(UNIT_SHARE * math.sqrt(loss))

    def n_batches(self, data: Data) -> int:
        """Return the number of steps of an epoch."""
        return n_batches(len(data.train), self.batch_size)

    def _noise(self, data: Data) -> list[Change]:
        """Return what adds noise to inputs while they are chosen, if that is asked."""
        std = resolve_input_noise(self.input_noise, len(data.train), _n_columns(data))
        return [partial(add_noise, std=std)] if std else []

    def _noise_of_retraining(self, network: Network, data: Data) -> list[Change]:
        """Return what adds noise while retraining, if the default network has some.

        Noise helps to learn classes. It harms embedded numbers, whose bins are sharp,
        and it would shrink the weights of a linear model, which has no units.
        """
        suits = self.task.takes_logits and bool(network.units)
        embedded = hasattr(network.module, "embedding")
        if self.input_noise != "auto" or embedded or not suits:
            return []
        std = noise_of_retraining(len(data.train), _n_columns(data))
        return [partial(add_noise, std=std)]

    def _callbacks(self, data: Data) -> NamedCallbacks:
        return of_retraining(self.callbacks, self.task, data.target_scaling, self.ranks)

    def _callbacks_before_retraining(self, data: Data) -> NamedCallbacks:
        return before_retraining(self._callbacks(data))

    def _with_cycle(
        self, callbacks: NamedCallbacks, data: Data, epochs: int
    ) -> NamedCallbacks:
        return with_cycle(callbacks, self.lr, epochs * self.n_batches(data))

    def _build_net(
        self,
        network: Network,
        data: Data,
        callbacks: NamedCallbacks,
        *,
        distillation: float = 0.0,
        changes: Sequence[Change] = (),
        may_compile: bool = False,
        keeps_best: bool = False,
    ) -> PruningNet:
        params: dict[str, Any] = {
            f"optimizer__{k}": v for k, v in self.optimizer_params.items()
        }
        if self.optimizer in FUSED and "foreach" not in self.optimizer_params:
            real = all(p.is_floating_point() for p in network.module.parameters())
            params.setdefault("optimizer__fused", real)
        compiled = may_compile and bool(self.compile)
        if compiled:
            # torch counts graphs of earlier networks as this one's, up to a limit
            torch.compiler.reset()
        if isinstance(self.compile, str):
            params["compile__backend"] = self.compile
        valid = data.valid
        return build_net(
            network.module,
            self.task,
            distillation=distillation,
            amp=self.amp,
            compile=compiled,
            optimizer=self.optimizer,
            lr=self.lr,
            batch_size=self.batch_size,
            iterator_train__shuffle=True,
            iterator_train__changes=changes,
            iterator_train__taught=distillation > 0,
            batch_size_to_score=data.train.batch_size_to_score,
            train_split=None if valid is None else predefined_split(valid),
            callbacks=[("held_out", HeldOut(self.task, keeps_best)), *callbacks],
            device=self.device,
            verbose=int(self.progress.verbose > 1),
            **params,
        )

    def _run(
        self,
        net: PruningNet,
        network: Network,
        data: Data,
        epochs: int,
        phase: str,
        history: History,
    ) -> None:
        callbacks = list(net.callbacks_)
        run = RunState(net, network, phase, epochs)
        if self.progress.verbose:
            advance = Advance(self.progress, self.n_batches(data), network)
            net.callbacks_.append(("advance", advance))
        if self.checkpoint.keeps:
            net.callbacks_.append(("keep_state", KeepState(self.checkpoint, run)))

        def begin() -> int:
            left = self.checkpoint.begin(run)
            self.progress.skip(epochs - left)
            return left

        try:
            end = partial(self.checkpoint.end, run)
            train(net, data.train, epochs, begin, end, self.ranks)
        finally:
            net.callbacks_ = callbacks
            for row in net.history:
                history.append(row | {"phase": phase, "epoch": len(history) + 1})


def _n_columns(data: Data) -> int:
    """Return how many columns a network is given."""
    return data.train.sample[:1][0].shape[1]
