"""The phases of a fit, on a network and tables: no scikit-learn in here."""

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from skorch.callbacks import Callback, Checkpoint, EarlyStopping, LRScheduler
from skorch.helper import predefined_split
from skorch.history import History
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

from .._data.images import Images
from .._data.prepare import Data, Scaling
from .._graph.network import Network
from .._layers.frame import Frame
from .._layers.wrap import wrap
from .._pruning.gates import InputGates
from .._pruning.schedules import Rise, Sweep
from .._pruning.sparsifier import Prices, Sparsifier
from .._utils.torch import evaluating
from .._utils.warn import warn_caller
from .batches import Batches, score_table
from .callbacks import HeldOutScore, OneCycle, Progress, Prune
from .fold_scaling import fold_scaling
from .net import PruningNet, finished, train
from .tasks import Task

AUTO_STEPS = 4000  # the least number of steps of a phase of "auto" epochs
AUTO_RETRAIN_EPOCHS = 20  # and the least number of epochs of retraining
LEAST_MEMORY = 100  # steps over which squared gradients are averaged
CHECKED_ROWS = 16  # see whether a compact network gives the outputs of the zeroed one
RETRAIN_PEAK = 2  # the one cycle of retraining peaks at this multiple of `lr`

# optimisers that change all parameters in one kernel
FUSED = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD)
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)

Scores = dict[str, float | None]


@dataclass
class Sparsified:
    """A network at the end of sparsifying, or at a point on the way.

    `support`, (retained,), are positions among all inputs, `importances`, (inputs,),
    their saliencies; `scores` are those before and after pruning; images are behind
    `gates`, and then in a `frame`, where the network needs larger ones.
    """

    network: Network
    alpha: float
    support: Tensor
    importances: Tensor
    scores: Scores
    gates: InputGates | None = None
    frame: Frame | None = None


@dataclass
class Trainer:
    """How to train: the estimator's parameters, resolved.

    `history` grows a row an epoch, through all phases.
    """

    task: Task
    input_noise: float
    distillation: float
    lr: float
    batch_size: int
    optimizer: type[torch.optim.Optimizer]
    optimizer_params: dict[str, Any]
    device: torch.device
    verbose: int
    amp: bool
    compile: bool | str
    callbacks: Sequence[Callback | tuple[str, Callback]]
    history: History = field(default_factory=History)

    def branch(self) -> "Trainer":
        """Return a trainer that goes on from here with a history of its own."""
        history = History()
        history.extend(self.history)
        return replace(self, history=history)

    def sparsify(
        self, network: Network, data: Data, epochs: int, prices: Prices, schedule: Rise
    ) -> Sparsified:
        """Train while groups go; the columns of the tables go with the inputs."""
        sparsifier, scores = self._sparsify(network, data, epochs, prices, schedule)
        starved = sorted(set(sparsifier.starved))
        if starved:
            names = ", ".join(map(repr, starved))
            warn_caller(
                f"`alpha`={schedule.alpha:g} is so large that none of the channels "
                f"{names} would survive; the most salient are kept. Lower `alpha`."
            )
        return self._sparsified(sparsifier, schedule.alpha, data, scores)

    def sweep(
        self, network: Network, data: Data, epochs: int, prices: Prices, schedule: Sweep
    ) -> list[Sparsified]:
        """Train while groups go until all are gone; copy the network at each point."""
        points: list[Sparsified] = []

        def note(event: int, sparsifier: Sparsifier, scores: Scores) -> None:
            if schedule.point_at(event) is not None:
                point = self._sparsified(sparsifier, schedule.alpha, data, scores)
                point.network = network.copy()
                point.gates = deepcopy(data.gates)
                points.append(point)

        steps = epochs * self._n_batches(data)
        needed = math.ceil(schedule.n_events / (schedule.stop - schedule.start))
        if steps < needed:  # or two events would fall on one step
            raise ValueError(
                f"A path of {schedule.n_points} points needs at least {needed} "
                f"optimiser steps. Got {steps} from twice `max_epochs`, {epochs} "
                "epochs; raise it or ask for fewer points."
            )
        self._sparsify(network, data, epochs, prices, schedule, note)
        return points

    def _sparsify(
        self, network, data: Data, epochs: int, prices: Prices, schedule, note=None
    ) -> tuple[Sparsifier, Scores]:
        scores: Scores = {}

        def on_start() -> None:
            scores["before pruning"] = self.score(network, data)

        def on_event(event: int) -> None:
            if note is not None:
                note(event, pruning.sparsifier_, scores)

        n_batches = self._n_batches(data)
        n_steps = epochs * n_batches
        pruning = Prune(
            lambda optimizer: Sparsifier(
                network,
                optimizer,
                len(data.train) / n_batches,
                prices,
                memory=max(self.task.memory * n_steps, LEAST_MEMORY),
                rows=lambda: data.train[:CHECKED_ROWS][0].detach(),
                gates=data.gates,
            ),
            schedule,
            data.tables,
            n_steps=n_steps,
            on_start=on_start,
            on_event=on_event,
        )
        callbacks = [("prune", pruning), *self._own(False)]
        net = self._make_net(network, data, callbacks, noise=self.input_noise)
        self._run(net, network, data, epochs, "sparsify")
        return pruning.sparsifier_, scores

    def _sparsified(
        self, sparsifier: Sparsifier, alpha: float, data: Data, scores: Scores
    ) -> Sparsified:
        network = sparsifier.network
        with evaluating(network.module):
            scores = scores | {"after pruning": self.score(network, data)}
        return Sparsified(
            network, alpha, sparsifier.support, sparsifier.importances(), scores
        )

    def train_dense(
        self, network: Network, data: Data, epochs: int, phase: str
    ) -> None:
        """Train a network that is to lose nothing yet, in one cycle of `lr`."""
        whole = data.ungated()
        callbacks = self._cycled(self._own(False), whole, epochs)
        net = self._make_net(network, whole, callbacks)
        self._run(net, network, whole, epochs, phase)

    def teach(self, teacher: Network, data: Data) -> None:
        """Let the training rows know what a trained network says of them."""
        rows = data.train
        module = teacher.module.eval()

        def says(X: Tensor) -> Tensor:
            kind = X.device.type
            with torch.no_grad(), torch.autocast(kind, torch.bfloat16, self.amp):
                return module(X).float()

        if isinstance(rows, Images) and rows.augmented:
            rows.teacher = says  # of each image as it is augmented then
            return
        batches = Batches(data.ungated().train, rows.batch_size_to_score)
        with torch.no_grad():
            rows.teacher = torch.cat([module(X) for X, _ in batches])

    def retrain(
        self, network: Network, data: Data, epochs: int, units_left: float
    ) -> PruningNet:
        """Train the compact network without penalty, in one cycle of `lr`.

        Dropout falls with the share of the units that are left: fewer need less of it
        (Han et al., arXiv 1506.02626, of connections). Beside a teacher it does harm,
        and is turned off. An interrupt ends it with a warning: the network works at
        any time.
        """
        taught = data.train.teacher is not None
        left = 0.0 if taught else units_left
        for layer in network.module.modules():
            if isinstance(layer, DROPOUTS):
                layer.p *= left
        callbacks = self._cycled(self._own(True), data, epochs)
        distillation = self.distillation if taught else 0.0
        if self.compile:
            # torch counts graphs of earlier networks as this one's, up to a limit
            torch.compiler.reset()
        net = self._make_net(
            network, data, callbacks, distillation, compiled=bool(self.compile)
        )
        try:
            self._run(net, network, data, epochs, "retrain")
        except KeyboardInterrupt:
            stoppers = [c for _, c in callbacks if isinstance(c, EarlyStopping)]
            if not any(c.misses_ == c.patience for c in stoppers):
                warn_caller(
                    f"Retraining was interrupted in epoch {len(net.history)}. The "
                    "estimator is fitted and usable; fit again for a better one."
                )
        return net

    def _cycled(self, callbacks, data: Data, epochs: int) -> list:
        """Add one cycle of the learning rate, unless the user has a schedule."""
        if epochs and not any(isinstance(c, LRScheduler) for _, c in callbacks):
            steps = epochs * self._n_batches(data)
            cycle = OneCycle(
                policy=OneCycleLR,
                max_lr=RETRAIN_PEAK * self.lr,
                total_steps=steps,
                pct_start=0.1 if steps > 10 else 0.3,  # torch divides by 0 at 0.1 * 10
                cycle_momentum=False,
                step_every="batch",
            )
            callbacks = [*callbacks, ("one_cycle", cycle)]
        return callbacks

    def score(self, network: Network, data: Data) -> float | None:
        """Return the score on held-out rows, if there are any."""
        if data.valid is None:
            return None
        return score_table(network.module, data.valid, self.task.score)

    def finish(self, net: PruningNet, sparse: Sparsified, data: Data) -> None:
        """Let the network take and give raw numbers, and the net build no other one."""
        network, inputs, kept = sparse.network, data.scaling, sparse.support
        if inputs is not None:
            inputs = Scaling(inputs.mean[kept], inputs.scale[kept])
        mask = data.train.mask
        network.module = fold_scaling(network, inputs, data.target_scaling, mask)
        if sparse.frame is not None:
            frame = sparse.frame.to(self.device)
            network.module = wrap(network.module, "frame", frame)
        if net.compile:  # so is the loss; setting it makes that anew, and says so
            net.set_params(compile=False)
        net.module_ = network.module.eval()
        net.initialize_optimizer()
        net.module = finished
        net.train_split = None  # it holds rows

    def _n_batches(self, data: Data) -> int:
        return len(Batches(data.train, self.batch_size))

    def epochs(self, asked: int | str, data: Data, at_least: int = 1) -> int:
        """Resolve "auto", a count of steps, to a count of epochs."""
        if asked == "auto":
            return max(at_least, math.ceil(AUTO_STEPS / self._n_batches(data)))
        return int(asked)

    def retrain_epochs(self, asked: int | str, data: Data) -> int:
        """Resolve "auto" where it has a least number of epochs as well."""
        return self.epochs(asked, data, AUTO_RETRAIN_EPOCHS)

    def _own(self, while_retraining: bool) -> list[tuple[str, Callback]]:
        """Name the user's callbacks.

        Stopping early would cut the schedule of other phases short, and a network
        shrinks in them, so that no earlier one can be loaded.
        """
        named = [
            c if isinstance(c, tuple) else (f"callback{i}", c)
            for i, c in enumerate(self.callbacks)
        ]
        return [
            (name, c)
            for name, c in named
            if while_retraining
            or not (
                isinstance(c, EarlyStopping)
                or (isinstance(c, Checkpoint) and c.load_best)
            )
        ]

    def _make_net(
        self,
        network: Network,
        data: Data,
        callbacks,
        distillation: float = 0.0,
        noise: float = 0.0,
        compiled: bool = False,
    ) -> PruningNet:
        params = {f"optimizer__{k}": v for k, v in self.optimizer_params.items()}
        if self.optimizer in FUSED and "foreach" not in self.optimizer_params:
            real = all(p.is_floating_point() for p in network.module.parameters())
            params.setdefault("optimizer__fused", real)
        if isinstance(self.compile, str):
            params["compile__backend"] = self.compile
        valid = data.valid
        score = HeldOutScore(self.task.score, self.task.column)
        net = PruningNet(
            network.module,
            criterion=self.task.criterion,
            criterion__reduction="none",
            predict_nonlinearity=self.task.read,
            distillation=distillation,
            distance=self.task.distance,
            amp=self.amp,
            compile=compiled,
            optimizer=self.optimizer,
            lr=self.lr,
            batch_size=self.batch_size,
            iterator_train=Batches,
            iterator_train__shuffle=True,
            iterator_train__noise=noise,
            iterator_train__taught=distillation > 0,
            iterator_valid=Batches,
            iterator_valid__batch_size=data.train.batch_size_to_score,
            train_split=None if valid is None else predefined_split(valid),
            callbacks=[("held_out_score", score), *callbacks],
            device=self.device,
            verbose=int(self.verbose > 1),
            **params,
        )
        return net.initialize()

    def _run(self, net, network: Network, data: Data, epochs: int, phase: str) -> None:
        bar = Progress(phase, epochs, network) if self.verbose else None
        if bar is not None:
            net.callbacks_.append(("progress", bar))
        try:
            train(net, data.train, epochs)
        finally:
            if bar is not None:
                bar.close()
                net.callbacks_.remove(("progress", bar))
            for row in net.history:
                self.history.append(
                    row | {"phase": phase, "epoch": len(self.history) + 1}
                )
