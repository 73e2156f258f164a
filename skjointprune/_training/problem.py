"""`Problem`: what goes into a fit, as a value, and the phases of the fit."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
from skorch.history import History
from torch import Tensor, nn

from .._data.inputs import Inputs, Traced
from .._data.prepare import Data, Scaling
from .._data.targets import Targets
from .._graph.compact import compact_
from .._graph.groups import find_groups
from .._graph.network import Network
from .._graph.probes import gives_probabilities
from .._layers.wrap import wrap
from .._pruning.gates import InputGates
from .._pruning.points import Point
from .._pruning.prices import Prices
from .._pruning.schedules import Rise, Sweep
from .._report.report import NetworkSize, PruningReport
from .._utils.seeds import seeded
from .._utils.torch import kind_of_rows
from .._utils.warn import warn_caller
from ..modules._mlp import MLP
from .batches import run_parts
from .fit import Fit, Sparse, Start
from .fold_scaling import fold_scaling
from .importances import importances_of
from .keep_points import AllPoints
from .net import PruningNet, finish_
from .progress import PRETRAIN, RETRAIN, SPARSIFY, TEACH
from .screen import screen
from .trainer import USUAL_ALPHA, Trainer

ROWS_FOR_BINS = 10_000
EVENTS_FOR_UNITS = 40  # units stand in for each other more than inputs do

MOST_TO_CHOOSE_FROM = 40  # inputs, or groups of them


@dataclass(frozen=True)
class Epochs:
    """How many epochs each phase has."""

    pretrain: int
    sparsify: int
    retrain: int


@dataclass(frozen=True)
class Problem:
    """What is to be fitted, of any estimator: data, and how to train and prune.

    The phases of a fit are its methods, each from the value of the one before: `start`,
    `sparsify` (or `sweep`, for all points of a path), `trace_back` and `retrain`.

    Attributes
    ----------
    inputs, targets : Inputs, Targets
        What X and y are.
    data : Data
        Lose inputs while a network is sparsified on them.
    make_module : callable
        Returns the dense module for such inputs, with new weights.
    widens : bool
        Whether it is one for any number of inputs.
    trainer : Trainer
    prices : Prices
        What may go, and what it costs to stay.
    n_inputs : int or None
        How many inputs, or groups of them, are to stay; None leaves it to prices.
    screens : bool
        Whether most inputs go before anything is trained.
    epochs : Epochs
    seed : int
    device : torch.device
    """

    inputs: Inputs
    targets: Targets
    data: Data
    make_module: Callable[[Inputs], nn.Module]
    widens: bool
    trainer: Trainer
    prices: Prices
    n_inputs: int | None
    screens: bool
    epochs: Epochs
    seed: int
    device: torch.device

    @contextmanager
    def random_state(self) -> Iterator[None]:
        """Let torch draw from the seed for a while."""
        with seeded(self.seed, self.device):
            yield

    @property
    def searches(self) -> bool:
        """Whether it can be found how many inputs stay, where nobody says so."""
        may_go = self.prices.prune in ("joint", "inputs")
        return self.widens and may_go and self.n_inputs is None

    @property
    def chooses(self) -> bool:
        """Whether a given number of inputs is chosen before any unit goes.

        Every choice is tried without training for it, which only few inputs allow.
        """
        if not self.widens or self.n_inputs is None:
            return False
        costs = self.prices.costs
        groups = self.prices.number_groups(self.inputs.network_shape[0])
        n_groups = int(groups.max()) + 1
        alike = costs is None or len(costs[costs > 0].unique()) <= 1
        return self.n_inputs < n_groups <= MOST_TO_CHOOSE_FROM and alike

    def with_shadows(self) -> "Problem":
        """Return a problem where each column has a shadow."""
        with self.random_state():
            inputs, data = self.inputs.with_shadows(self.data)
        prices = replace(
            self.prices, groups=inputs.group_numbers(), costs=inputs.costs_of_inputs()
        )
        return replace(self, inputs=inputs, data=data, prices=prices)

    def dense_size(self, units: dict[str, int]) -> NetworkSize:
        """Return the size of the dense network, of as many units as another."""
        with self.random_state():
            module = self._dense_module()
        return NetworkSize.of_module(module, self.inputs.network_shape, units)

    def start(self) -> Start:
        """Make the dense network; train it and a teacher, where asked."""
        history = History()
        network = self._dense_network()
        epochs, trainer = self.epochs, self.trainer
        if epochs.pretrain:
            trainer.progress.begin(PRETRAIN, epochs.pretrain)
            trainer.train_dense(
                network, self.data, epochs.pretrain, "pretrain", history
            )
        if trainer.distillation and epochs.retrain:
            teacher = network.copy()
            if not epochs.pretrain:
                trainer.progress.begin(TEACH, epochs.retrain)
                trainer.train_dense(
                    teacher, self.data, epochs.retrain, "teach", history
                )
            trainer.teach(teacher, self.data)
        return Start(network, NetworkSize.of(network), history)

    def open(self, start: Start) -> Sparse:
        """Return the network and a view of the data, without what is screened out."""
        trainer, network = self.trainer, start.network
        mask = torch.ones(self.inputs.network_shape[0], dtype=torch.bool)
        if self.screens:
            n_inputs = self.n_inputs or 0
            mask = screen(trainer.task, self.data.train.sample, self.prices, n_inputs)
            compact_(network, {network.inputs.name: mask})
        kept = mask.nonzero().flatten()
        point = Point(network, 0.0, kept, mask.float(), {}, self._gates_of(kept))
        return self.view_of(Sparse(point, self.data, start.size, start.history))

    def sparsify(self, start: Start, alpha: float | Literal["auto"]) -> Sparse:
        """Train the network, and remove groups as they die.

        With "auto", units go by what is left of the loss, and inputs by their number,
        if one is given.
        """
        if alpha == "auto" and not self.widens:
            alpha = USUAL_ALPHA
        if alpha == "auto" and self.screens:
            opened = self.open(start)
            of_units = self._threshold_of_units(opened.point.network, opened.data)
            rise = Rise(0.0, self.n_inputs, of_units)
            epochs, prune = self.epochs.sparsify, self.prices.prune
            return self._sparsify_further(opened, epochs, prune, rise)
        if alpha == "auto":
            of_units = self._threshold_of_units(start.network, self.data)
            rise = Rise(0.0, self.n_inputs, of_units)
        else:
            rise = Rise(alpha, self.n_inputs)
        self.trainer.progress.begin(SPARSIFY[self.prices.prune], self.epochs.sparsify)
        point = self.trainer.sparsify(
            start.network,
            self.data,
            self.epochs.sparsify,
            self.prices,
            rise,
            start.history,
        )
        return Sparse(point, self.data, start.size, start.history)

    def sparsify_units(self, sparse: Sparse, share: float) -> Sparse:
        """Train a network whose inputs are chosen, and remove units as they die.

        `share` is that of the epochs of sparsifying.
        """
        if self.prices.prune != "joint":
            return sparse
        epochs = math.ceil(self.epochs.sparsify * share)
        of_units = self._threshold_of_units(sparse.point.network, sparse.data)
        rise = Rise(0.0, None, of_units, EVENTS_FOR_UNITS)
        return self._sparsify_further(sparse, epochs, "weights", rise)

    def _sparsify_further(
        self, sparse: Sparse, epochs: int, prune: str, rise: Rise
    ) -> Sparse:
        """Train a network that lost inputs already, and remove groups as they die."""
        network, kept = sparse.point.network, sparse.point.kept
        data = replace(sparse.data, gates=self._gates_of(kept))
        prices = replace(self.prices_of(sparse), prune=prune)
        self.trainer.progress.begin(SPARSIFY[prune], epochs)
        point = self.trainer.sparsify(
            network, data, epochs, prices, rise, sparse.history
        )
        # those of the network before it lost anything, if it was trained then
        first = "before pruning"
        before = sparse.point.scores.get(first, point.scores[first])
        point = point.among(kept, self.inputs.network_shape[0])
        point = replace(point, scores=point.scores | {first: before})
        return replace(sparse, point=point)

    def _gates_of(self, kept: Tensor) -> InputGates:
        return InputGates(("channel",), (len(kept),), device=self.device)

    def prices_of(self, sparse: Sparse) -> Prices:
        """Return the prices of the inputs that a network has left."""
        mask = torch.zeros(self.inputs.network_shape[0], dtype=torch.bool)
        mask[sparse.point.kept] = True
        return self.prices.keep_inputs(mask)

    def _threshold_of_units(self, network: Network, data: Data) -> Callable[[], float]:
        return partial(self.trainer.threshold_of_units, network, data)

    def sweep(self, start: Start, epochs: int, schedule: Sweep) -> list[Sparse]:
        """Train the network until all groups are gone; return the points on the way.

        The data stay whole, so each point is followed on a view of its own.
        """
        points = AllPoints()
        self.trainer.progress.begin(SPARSIFY[self.prices.prune], epochs)
        self.trainer.sweep(
            start.network,
            self.data.view(),
            epochs,
            self.prices,
            schedule,
            start.history,
            points,
        )
        return [Sparse(p, self.data, start.size, start.history) for p in points.points]

    def view_of(self, sparse: Sparse) -> Sparse:
        """Return a copy of a point of a sweep, on data of its inputs."""
        point = sparse.point
        data = self.data.view(point.gates)
        for rows in data.parts:
            rows.keep_inputs(point.kept)
        point = replace(point, network=point.network.copy())
        return replace(sparse, point=point, data=data)

    def trace_back(self, sparse: Sparse) -> Traced:
        """Say which inputs a sparse network needs; it and its data lose the rest."""
        point = sparse.point
        return self.inputs.trace_back(point.network, point.kept, sparse.data)

    def retrain(self, sparse: Sparse, traced: Traced, share: float = 1) -> Fit:
        """Retrain what is left, for a share of the epochs; finish the network."""
        network, data = sparse.point.network, sparse.data
        history = History()
        history.extend(sparse.history)
        epochs = math.ceil(self.epochs.retrain * share)
        net = self.train_again(sparse, epochs, share, history, RETRAIN)
        scores = {"after retraining": self.trainer.score(network, data)}
        task = self.trainer.task
        importances = importances_of(
            self.inputs, task, sparse.point, data, traced, self.seed
        )
        targets = self.targets.finished(partial(run_parts, network.module, data.parts))
        finished = self._finished(network, data, traced)
        finish_(net, finished.module)
        report = PruningReport(
            sparse.dense,
            NetworkSize.of(finished, int(traced.support.sum()), network.units),
            sparse.point.scores | scores,
            finished.kept_whole,
            task.score_name,
        )
        return Fit(
            self.inputs,
            targets,
            net,
            traced.support,
            *importances,
            history,
            report,
        )

    def train_again(
        self, sparse: Sparse, epochs: int, share: float, history: History, phase: str
    ) -> PruningNet:
        """Retrain a sparse network, in place, for a share of the epochs of a fit."""
        self.trainer.progress.begin(phase, epochs)
        n_units = sum(sparse.point.network.units.values())
        n_dense = sum(sparse.dense.units.values())
        return self.trainer.retrain(
            sparse.point.network,
            sparse.data,
            epochs,
            n_units / n_dense if n_dense else 1.0,
            share,
            history,
        )

    def _dense_module(self) -> nn.Module:
        return self.inputs.place(self.make_module(self.inputs), self.device)

    def _dense_network(self) -> Network:
        """Make the dense network and find its groups.

        Raises
        ------
        ValueError
            If it has other outputs than y needs, or cannot lose inputs that must go.
        """
        module = self._dense_module()
        if isinstance(module, MLP) and module.needs_bins:
            rows, _ = self.data.train.sample[:ROWS_FOR_BINS]
            module.set_bins(rows)
        network = find_groups(module, self.inputs.network_shape)
        n_outputs = self.targets.n_outputs
        if network.n_outputs != n_outputs:
            raise ValueError(
                f"`module` must give {n_outputs} outputs, one for each class or target "
                f"of y. Got {network.n_outputs} outputs; let it take `n_outputs` as a "
                "parameter."
            )
        if self.trainer.task.takes_logits and gives_probabilities(
            network.module, self.inputs.network_shape
        ):
            warn_caller(
                f"The outputs of `module` {type(module).__name__} are probabilities, "
                "and are taken for logits: what it predicts will be far from sure. "
                "Leave its last softmax or sigmoid out."
            )
        may_go = self.prices.prune in ("joint", "inputs")
        network = self.inputs.free_inputs(network, self.data, may_go=may_go)
        selected, *_ = self.data.gates.prunable_inputs(network)
        if selected.pinned and self.n_inputs is not None:
            raise ValueError(
                f"`n_features_to_select`={self.n_inputs} cannot be met: the inputs are "
                f"kept whole, as {selected.pinned}. {self.inputs.pinned_remedy}"
            )
        n_kept = self.prices.count_kept(network)
        if self.n_inputs is not None and self.n_inputs < n_kept:
            raise ValueError(
                f"`n_features_to_select` must leave the {n_kept} inputs that always "
                "stay, as gradients do not tell what they are worth. Got "
                f"{self.n_inputs}; raise it. {self.inputs.pinned_remedy}"
            )
        return network

    def _finished(self, network: Network, data: Data, traced: Traced) -> Network:
        """Return the network from retained raw inputs to raw targets."""
        scaling = data.scaling
        if scaling is not None:
            kept = traced.kept
            scaling = Scaling(scaling.mean[kept], scaling.scale[kept])
        module = fold_scaling(network, scaling, data.target_scaling, traced.mask)
        if traced.before is not None:
            place, layer = traced.before
            module = wrap(module, place, layer.to(**kind_of_rows(module)))
        # as it is read from a file, so that it gives the same to the last bit
        module = module.to(memory_format=torch.contiguous_format)
        read = self.inputs.positions_read(traced.support)
        return replace(network, module=module, input_shape=tuple(map(len, read)))
