"""What every joint-pruning estimator has, whatever it predicts."""

from abc import abstractmethod
from inspect import isclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import nn

from .._data.boxes import crop_, frame_of, smallest_box
from .._data.check_images import is_images, refuse_what_is_nearly_images
from .._data.image_inputs import ImageInput
from .._data.prepare import Data
from .._data.table_inputs import TableInput
from .._graph.groups import find_groups, let_inputs_go
from .._graph.network import Network
from .._graph.probes import check_outputs
from .._graph.rules.registry import layer_rule
from .._layers.stand_ins import with_prunable_layers
from .._pruning.gates import KINDS, prunable_inputs
from .._pruning.schedules import Rise
from .._pruning.sparsifier import Prices
from .._report.html import ReportBelowDiagram
from .._report.report import NetworkSize, PruningReport
from .._training.settings import (
    OPTIMIZERS,
    check_backend,
    check_callbacks,
    check_monitors,
    resolve_optimizer,
)
from .._training.tasks import Task
from .._training.trainer import CHECKED_ROWS, Sparsified, Trainer
from .._utils.seeds import draw_seed, seeded
from .._utils.sklearn import (
    HasMethods,
    Interval,
    RealNotInt,
    StrOptions,
    _check_sample_weight,
)
from .._utils.torch import choose_device
from ..modules._build import NAMED_MODULES, build_module, check_names
from ..modules._mlp import MLP
from ..penalties import PENALTIES, Penalty
from .fitted import FittedNetwork
from .parameters import PassedOnParams
from .rollback import all_or_nothing


class JointPruneEstimator(
    TableInput,
    ImageInput,
    FittedNetwork,
    PassedOnParams,
    ReportBelowDiagram,
    BaseEstimator,
):
    """The three phases of a fit.

    A subclass says what is learnt (`_task`, `_encode`) and reads the outputs.
    """

    _parameter_constraints = {  # noqa: RUF012
        "hidden_layer_sizes": ["array-like"],
        "alpha": [Interval(Real, 0, None, closed="neither")],
        "n_features_to_select": [
            None,
            Interval(Integral, 1, None, closed="left"),
            Interval(RealNotInt, 0, 1, closed="right"),
        ],
        "prune": [StrOptions({"joint", "inputs", "weights", "none"})],
        "penalty": [StrOptions(set(PENALTIES)), HasMethods(["value", "prox"])],
        "feature_groups": ["array-like", StrOptions({"auto"}), None],
        "feature_costs": ["array-like", None],
        "unit_cost": [StrOptions({"constant", "macs", "params"})],
        "round_units_to": [Interval(Integral, 1, None, closed="left")],
        "input_noise": [Interval(Real, 0, None, closed="left")],
        "distillation": [Interval(Real, 0, 1, closed="both")],
        "pretrain_epochs": [Interval(Integral, 0, None, closed="left")],
        "max_epochs": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "retrain_epochs": [
            StrOptions({"auto"}),
            Interval(Integral, 0, None, closed="left"),
        ],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "optimizer": [StrOptions(set(OPTIMIZERS)), callable],
        "standardize": ["boolean"],
        "validation_fraction": [None, Interval(Real, 0, 1, closed="left")],
        "random_state": ["random_state"],
        "device": [str, torch.device],
        "verbose": ["verbose"],
        "callbacks": [list, tuple, None],
        "module": [callable, StrOptions(set(NAMED_MODULES)), None],
        "input_groups": [StrOptions(set(KINDS)), tuple, list, None],
        "patch_size": [Interval(Integral, 1, None, closed="left")],
        "train_transform": [callable, None],
        "transform_batches": ["boolean"],
        "num_workers": [Interval(Integral, 0, None, closed="left")],
        "amp": ["boolean"],
        "compile": ["boolean", str],
    }

    @abstractmethod
    def _task(self) -> Task:
        """Say what is learnt, once y is encoded."""

    @abstractmethod
    def _encode(self, y: Any, weight: np.ndarray):
        """Return numeric targets and the weights of rows; note how to decode."""

    def _fit(self, X, y, sample_weight):
        device = choose_device(self.device)
        seed = draw_seed(self.random_state)
        with all_or_nothing(self), seeded(seed, device):
            data, trainer, network = self._prepare(X, y, sample_weight, seed, device)
            dense = NetworkSize.of(network)

            # 1. Sparsify. Groups are removed as they die, so training gets cheaper.
            sparse = trainer.sparsify(
                network,
                data,
                epochs=trainer.epochs(self.max_epochs, data),
                prices=self._prices(),
                schedule=Rise(self.alpha, self._n_inputs()),
            )
            # 2. Trace back: what no weight reads any more is not needed.
            self._trace_back(sparse, data)
            # 3. Retrain what is left.
            epochs = trainer.retrain_epochs(self.retrain_epochs, data)
            self._retrain(trainer, sparse, data, epochs, dense)
        return self

    def _prepare(
        self, X, y, sample_weight, seed: int, device
    ) -> tuple[Data, Trainer, Network]:
        """Make all that pruning needs: a trained network and a teacher, where asked."""
        data = self._validate(X, y, sample_weight, seed, device)
        trainer = self._trainer(data, device)
        epochs = trainer.retrain_epochs(self.retrain_epochs, data)
        if epochs and data.valid is None:
            check_monitors(self.callbacks or (), ("valid_loss", trainer.task.column))
        network = self._build(data, device)
        if self.pretrain_epochs:
            trainer.train_dense(network, data, self.pretrain_epochs, "pretrain")
        if self.distillation and epochs:
            teacher = network.copy()
            if not self.pretrain_epochs:
                trainer.train_dense(teacher, data, epochs, "teach")
            trainer.teach(teacher, data)
        return data, trainer, network

    def _validate(self, X, y, sample_weight, seed: int, device) -> Data:
        """Check what was given against the data; encode, hold out, standardise."""
        refuse_what_is_nearly_images(X)
        if is_images(X):
            return self._validate_images(X, y, sample_weight, seed, device)
        return self._validate_table(X, y, sample_weight, seed, device)

    def _check_for(self, what: str, **neutral) -> None:
        """Refuse parameters that would have no effect on this kind of X."""
        for name, value in neutral.items():
            given = getattr(self, name)
            same = isinstance(given, Integral) and given == value
            if given is not value and not same:
                raise ValueError(
                    f"`{name}` is for {what}. Got {given!r} with X of "
                    f"rows of shape {self.input_shape_}; leave it at {value}."
                )

    def _check_weight(self, sample_weight, X) -> tuple[np.ndarray, np.ndarray]:
        """Return the weights of rows, and which count at all."""
        weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        counted = weight > 0
        if counted.sum() < 2:
            raise ValueError(
                "Training needs at least 2 rows of positive weight. Got n_samples="
                f"{counted.sum()}; add rows."
            )
        return weight, counted

    def _check_inputs_may_go(self) -> None:
        asked = self.n_features_to_select
        if asked is not None and self.prune in ("weights", "none"):
            raise ValueError(
                f"`n_features_to_select`={asked} asks for fewer inputs, but "
                f"`prune`={self.prune!r} keeps all. Use 'joint' or 'inputs', or leave "
                "`n_features_to_select` at None."
            )

    def _dense_module(self) -> nn.Module:
        """Make the network that a fit begins with."""
        params = self._params_for("module__")
        module = self.module
        if module is None:
            if len(self.input_shape_) > 1:
                raise ValueError(
                    "Images need a network for images. Got `module`=None; pass "
                    "'resnet18', 'vgg16', or one of your own."
                )
            module = MLP
            params = {"hidden_layer_sizes": tuple(self.hidden_layer_sizes)} | params
        if isinstance(module, str) and len(self.input_shape_) == 1:
            raise ValueError(
                f"`module`={module!r} is a network for images. Got a table of "
                f"{self.n_features_in_} columns; pass images, (n, channels, height, "
                "width), or leave `module` at None."
            )
        sizes = {
            "n_features_in": self.n_features_in_,
            "n_outputs": self._n_outputs,
            "input_shape": self.input_shape_,
        }
        built = with_prunable_layers(build_module(module, sizes, params).float())
        if layer_rule(built) is not None:
            built = nn.Sequential(built)  # torch.fx would look into it
        return built

    def _build(self, data: Data, device) -> Network:
        """Make the dense network and find its groups."""
        built = self._dense_module().to(device)
        if device.type == "cuda" and len(self.input_shape_) > 1:
            built = built.to(memory_format=torch.channels_last)
        network = find_groups(built, self.input_shape_)
        if network.n_outputs != self._n_outputs:
            raise ValueError(
                f"`module` must give {self._n_outputs} outputs, one for each class or "
                f"target of y. Got {network.n_outputs} outputs; let it take "
                "`n_outputs` as a parameter."
            )
        table = data.gates is None
        if table:
            check_outputs(network.module, data.train[:CHECKED_ROWS][0])
        if table and network.inputs.pinned and self.prune in ("joint", "inputs"):
            network = let_inputs_go(network, data.train[:CHECKED_ROWS][0])
        counted, *_ = prunable_inputs(network, data.gates)
        if counted.pinned and self.n_features_to_select is not None:
            raise ValueError(
                f"`n_features_to_select`={self.n_features_to_select} cannot be met: "
                f"the inputs are kept whole, as {counted.pinned}. "
                + (
                    "Let gradients of all of them reach through `module`, as of "
                    "one-hot columns, and let it take zeros."
                    if table
                    else "Let `module` do no more with them than a convolution does."
                )
            )
        return network

    def _trace_back(self, sparse: Sparsified, data: Data) -> None:
        if data.gates is None:
            self.support_ = np.zeros(self.n_features_in_, dtype=bool)
            self.support_[sparse.support.numpy()] = True
        else:  # images: what the gates leave is cropped
            self.support_, needed = crop_(sparse.network, data.tables, sparse.support)
            sparse.support = torch.from_numpy(needed[0])
            sparse.frame = frame_of(needed, smallest_box(self.support_))
        self.feature_importances_ = sparse.importances.numpy()

    def _retrain(
        self, trainer: Trainer, sparse: Sparsified, data: Data, epochs: int, dense
    ) -> None:
        """Retrain a sparse network on data of its inputs; note what came of it."""
        network = sparse.network
        units, of = sum(c.size for c in network.hidden), sum(dense.units.values())
        net = trainer.retrain(network, data, epochs, units / of if of else 1.0)
        scores = sparse.scores | {"after retraining": trainer.score(network, data)}
        trainer.finish(net, sparse, data)
        self.net_ = net
        self.history_ = trainer.history
        self.n_iter_ = len(self.history_)
        self.report_ = PruningReport(
            dense,
            NetworkSize.of(network, inputs=int(self.support_.sum())),
            scores,
            network.kept_whole,
            trainer.task.score_name,
        )

    def _trainer(self, data: Data, device) -> Trainer:
        """Resolve the parameters of training."""
        optimizer = resolve_optimizer(self.optimizer)
        params = self._params_for("optimizer__")
        check_names(optimizer, params, "optimizer")
        if "lr" in params:
            raise ValueError(
                f"The learning rate is `lr`. Got `optimizer__lr`={params['lr']!r} as "
                "well; set `lr` alone."
            )
        check_callbacks(self.callbacks or ())
        check_backend(self.compile)
        batch_size = self.batch_size
        if batch_size == "auto":
            batch_size = min(max(len(data.train) // 20, 16), 128)
        return Trainer(
            task=self._task(),
            input_noise=self.input_noise,
            distillation=self.distillation,
            lr=self.lr,
            batch_size=batch_size,
            optimizer=optimizer,
            optimizer_params=params,
            device=device,
            verbose=int(self.verbose),
            amp=self.amp,
            compile=self.compile,
            callbacks=self.callbacks or (),
        )

    def _resolved_penalty(self) -> Penalty:
        if isinstance(self.penalty, str):
            return PENALTIES[self.penalty]()
        if isclass(self.penalty):
            raise ValueError(
                "`penalty` must be an object or a name. Got the class "
                f"{self.penalty.__name__}; pass {self.penalty.__name__}()."
            )
        return self.penalty

    def _prices(self) -> Prices:
        """Resolve what may go, and at what price."""
        groups = costs = None
        if self._grouped:
            groups = torch.empty(self.n_features_in_, dtype=torch.long)
            for number, columns in enumerate(self.feature_groups_):
                groups[columns] = number
        if self.feature_costs is not None:
            costs = torch.tensor(np.asarray(self.feature_costs, dtype=np.float32))
        return Prices(
            self._resolved_penalty(),
            self.prune,
            groups,
            costs,
            self.unit_cost,
            int(self.round_units_to),
        )

    def _n_inputs(self) -> int | None:
        asked = self.n_features_to_select
        if asked is None:
            return None
        if isinstance(asked, Integral):
            return int(asked)
        return max(1, int(asked * self._n_counted))
