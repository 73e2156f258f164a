"""The phases of a fit, on a network and tables: no scikit-learn in here."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from skorch.callbacks import Callback, EarlyStopping, LRScheduler
from skorch.helper import predefined_split
from skorch.history import History
from torch.optim.lr_scheduler import OneCycleLR

from ._data import Data
from ._groups import Network
from ._scaling import fold_scaling
from ._sparsify import Penalty, Sparsifier
from ._training import (
    Batches,
    OneCycle,
    Progress,
    Prune,
    PruningNet,
    accuracy,
    finished,
    train,
)

AUTO_STEPS = 4000  # the least number of steps of a phase of "auto" epochs
AUTO_RETRAIN_EPOCHS = 20  # and the least number of epochs of retraining
RETRAIN_PEAK = 2  # the one cycle of retraining peaks at this multiple of `lr`


@dataclass
class Trainer:
    """How to train: the estimator's parameters, resolved.

    `history` grows a row an epoch, through all phases.
    """

    lr: float
    batch_size: int
    optimizer: type[torch.optim.Optimizer]
    optimizer_params: dict[str, Any]
    device: torch.device
    verbose: int
    callbacks: Sequence[Callback | tuple[str, Callback]]
    history: History = field(default_factory=History)

    def sparsify(
        self,
        network: Network,
        data: Data,
        epochs: int,
        penalty: Penalty,
        alpha: float,
        prune: str,
        n_inputs: int | None,
    ) -> tuple[Sparsifier, dict[str, float | None]]:
        """Train while groups go; score before the first went and after the last.

        The columns of the tables go with the inputs.
        """
        targets = [network.inputs] if prune in ("joint", "inputs") else []
        targets += network.hidden if prune in ("joint", "weights") else []
        scores: dict[str, float | None] = {}

        def score(when: str) -> None:
            scores[when] = self.score(network, data)

        pruning = Prune(
            lambda optimizer: Sparsifier(
                network,
                optimizer,
                len(data.train) / self._n_batches(data),
                penalty,
                alpha=alpha,
                targets=targets,
                n_inputs=n_inputs,
            ),
            data.tables,
            n_steps=epochs * self._n_batches(data),
            on_start=lambda: score("before pruning"),
        )
        net = self._make_net(network, data, [("prune", pruning), *self._own(False)])
        self._run(net, network, data, epochs, "sparsify")
        score("after pruning")
        for name in sorted(set(pruning.sparsifier_.starved)):
            warnings.warn(
                f"`alpha`={alpha:g} is so large that none of the channels {name!r} "
                "would survive; the most salient one was kept. Lower `alpha`.",
                UserWarning,
                stacklevel=4,
            )
        return pruning.sparsifier_, scores

    def retrain(self, network: Network, data: Data, epochs: int) -> PruningNet:
        """Train the compact network without penalty, in one cycle of `lr`.

        An interrupt ends it with a warning: the network works at any time.
        """
        callbacks = self._own(True)
        if epochs and not any(isinstance(c, LRScheduler) for _, c in callbacks):
            cycle = OneCycle(
                policy=OneCycleLR,
                max_lr=RETRAIN_PEAK * self.lr,
                total_steps=epochs * self._n_batches(data),
                pct_start=0.1,
                cycle_momentum=False,
                step_every="batch",
            )
            callbacks.append(("one_cycle", cycle))
        net = self._make_net(network, data, callbacks)
        try:
            self._run(net, network, data, epochs, "retrain")
        except KeyboardInterrupt:
            stoppers = [c for _, c in callbacks if isinstance(c, EarlyStopping)]
            if not any(c.misses_ == c.patience for c in stoppers):
                warnings.warn(
                    f"Retraining was interrupted in epoch {len(net.history)}. The "
                    "estimator is fitted and usable; fit again for a better one.",
                    UserWarning,
                    stacklevel=4,
                )
        return net

    def score(self, network: Network, data: Data) -> float | None:
        """Return the accuracy on held-out rows, if there are any."""
        return None if data.valid is None else accuracy(network.module, data.valid)

    def finish(self, net: PruningNet, network: Network, data: Data, support) -> None:
        """Let the network take raw inputs, and the net build no other one."""
        if data.mean is not None and data.scale is not None:
            network.module = fold_scaling(
                network, data.mean[support], data.scale[support]
            )
        net.module_ = network.module.eval()
        net.initialize_optimizer()
        net.module = finished

    def _n_batches(self, data: Data) -> int:
        return len(Batches(data.train, self.batch_size))

    def epochs(self, asked: int | str, data: Data, at_least: int = 1) -> int:
        """Resolve "auto", a count of steps, to a count of epochs."""
        if asked == "auto":
            return max(at_least, math.ceil(AUTO_STEPS / self._n_batches(data)))
        return int(asked)

    def _own(self, with_stoppers: bool) -> list[tuple[str, Callback]]:
        """Name the user's callbacks; stopping early would cut the schedule short."""
        named = [
            c if isinstance(c, tuple) else (f"callback{i}", c)
            for i, c in enumerate(self.callbacks)
        ]
        return [
            (name, c)
            for name, c in named
            if with_stoppers or not isinstance(c, EarlyStopping)
        ]

    def _make_net(self, network: Network, data: Data, callbacks) -> PruningNet:
        params = {f"optimizer__{k}": v for k, v in self.optimizer_params.items()}
        if self.optimizer in (torch.optim.Adam, torch.optim.AdamW):
            params.setdefault("optimizer__fused", True)
        valid = data.valid
        net = PruningNet(
            network.module,
            criterion=torch.nn.CrossEntropyLoss,
            optimizer=self.optimizer,
            lr=self.lr,
            batch_size=self.batch_size,
            iterator_train=Batches,
            iterator_train__shuffle=True,
            iterator_valid=Batches,
            iterator_valid__batch_size=4096,
            train_split=None if valid is None else predefined_split(valid),
            callbacks=callbacks,
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
