"""What every joint-pruning estimator has, whatever it predicts."""

from abc import abstractmethod
from inspect import isclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from ._attention import with_prunable_attention
from ._context import all_or_nothing, choose_device, draw_seed, seeded
from ._data import Data, prepare
from ._feature_groups import resolve_groups
from ._fitting import Sparsified, Trainer
from ._groups import Network, find_groups
from ._image_input import ImageInput, is_images
from ._images import KINDS, Images, crop_, cropped
from ._params import PassedOnParams
from ._report import NetworkSize, PruningReport
from ._schedule import Rise
from ._sklearn import (
    HasMethods,
    Interval,
    RealNotInt,
    StrOptions,
    _check_feature_names_in,
    _check_sample_weight,
)
from ._sparsify import PENALTIES, Penalty, Prices
from ._task import Task
from .modules import MLP, NAMED_MODULES, build_module, check_names

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}


class JointPruneEstimator(ImageInput, PassedOnParams, BaseEstimator):
    """The three phases of a fit, and the fitted network read.

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
        "input_noise": [Interval(Real, 0, None, closed="left")],
        "distillation": [Interval(Real, 0, 1, closed="both")],
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
        """Make all that training needs, a teacher's outputs among it."""
        data = self._validate(X, y, sample_weight, seed, device)
        trainer = self._trainer(len(data.train), device)
        network = self._build(data, device)
        trainer.teach(network, data, trainer.retrain_epochs(self.retrain_epochs, data))
        return data, trainer, network

    def _validate(self, X, y, sample_weight, seed: int, device) -> Data:
        """Check what was given against the data; encode, hold out, standardise."""
        if is_images(X):
            return self._validate_images(X, y, sample_weight, seed, device)
        small = isinstance(X, np.ndarray) and X.dtype.itemsize <= 2
        X, y = validate_data(
            self,
            X,
            y,
            dtype=np.float32 if small else [np.float64, np.float32],
            multi_output=True,
            y_numeric=self._y_numeric,
        )
        self.input_shape_: tuple[int, ...] = (self.n_features_in_,)
        self._check_for("images", train_transform=None, input_groups=None)
        names = getattr(self, "feature_names_in_", None)
        self.feature_groups_ = resolve_groups(self.feature_groups, X, names)
        self._check_inputs_asked_for()
        weight, counted = self._check_weight(sample_weight, X)
        if not counted.all():
            X, y, weight = X[counted], y[counted], weight[counted]
        targets, weight = self._encode(y, weight)
        return prepare(
            X,
            targets,
            weight,
            validation_fraction=self.validation_fraction,
            standardize=self.standardize,
            scale_targets=self._y_numeric,
            seed=seed,
            device=device,
        )

    def _check_for(self, what: str, **neutral) -> None:
        """Refuse parameters that would have no effect on this kind of X."""
        for name, value in neutral.items():
            if getattr(self, name) is not value:
                raise ValueError(
                    f"`{name}` is for {what}. Got {getattr(self, name)!r} with X of "
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

    def _check_inputs_asked_for(self) -> None:
        asked, groups = self.n_features_to_select, len(self.feature_groups_)
        self._n_counted = groups
        if (self._n_inputs() or 0) > groups:
            what = "groups of features" if self._grouped else "features"
            raise ValueError(
                f"`n_features_to_select` must be at most the {groups} {what} of X. "
                f"Got {asked}; lower it or pass a fraction."
            )
        self._check_inputs_may_go()
        if self.feature_costs is not None:
            costs = np.asarray(self.feature_costs)
            if (
                costs.shape != (self.n_features_in_,)
                or costs.dtype.kind not in "iuf"
                or not (np.isfinite(costs) & (costs > 0)).all()
            ):
                raise ValueError(
                    "`feature_costs` must hold one finite number above 0 for each of "
                    f"the {self.n_features_in_} columns of X. Got "
                    f"{self.feature_costs!r}; 1 is the usual cost."
                )

    @property
    def _grouped(self) -> bool:
        return len(self.input_shape_) == 1 and self._n_counted < self.n_features_in_

    def _build(self, data: Data, device) -> Network:
        """Make the dense network and find its groups."""
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
        sizes = {
            "n_features_in": self.n_features_in_,
            "n_outputs": self._n_outputs,
            "input_shape": self.input_shape_,
        }
        built = build_module(module, sizes, params).float().to(device)
        built = with_prunable_attention(built)
        if device.type == "cuda" and len(self.input_shape_) > 1:
            built = built.to(memory_format=torch.channels_last)
        network = find_groups(built, self.input_shape_)
        if network.n_outputs != self._n_outputs:
            raise ValueError(
                f"`module` must give {self._n_outputs} outputs, one for each class or "
                f"target of y. Got {network.n_outputs} outputs; let it take "
                "`n_outputs` as a parameter."
            )
        counts_inputs = data.gates is None or data.gates.of(network)[0] is (
            network.inputs
        )
        if (
            network.inputs.pinned
            and counts_inputs
            and self.n_features_to_select is not None
        ):
            raise ValueError(
                f"`n_features_to_select`={self.n_features_to_select} cannot be met: "
                f"the inputs are kept whole, as {network.inputs.pinned}. Let a linear "
                "layer come first."
            )
        return network

    def _trace_back(self, sparse: Sparsified, data: Data) -> None:
        if data.gates is None:
            self.support_ = np.zeros(self.n_features_in_, dtype=bool)
            self.support_[sparse.support.numpy()] = True
        else:  # images: what the gates leave is cropped
            self.support_ = crop_(sparse.network, data.tables, sparse.support)
            sparse.support = torch.from_numpy(self.support_.any(axis=(1, 2))).nonzero()
            sparse.support = sparse.support.flatten()
        self.feature_importances_ = sparse.importances.numpy()

    def _retrain(
        self, trainer: Trainer, sparse: Sparsified, data: Data, epochs: int, dense
    ) -> None:
        """Retrain a sparse network on data of its inputs; note what came of it."""
        network = sparse.network
        net = trainer.retrain(network, data, epochs)
        scores = sparse.scores | {"after retraining": trainer.score(network, data)}
        trainer.finish(net, network, data, sparse.support)
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

    def _trainer(self, n_rows: int, device) -> Trainer:
        """Resolve the parameters of training."""
        optimizer = self.optimizer
        if isinstance(optimizer, str):
            optimizer = OPTIMIZERS[optimizer]
        if not (isclass(optimizer) and issubclass(optimizer, torch.optim.Optimizer)):
            raise ValueError(
                "`optimizer` must be a name or a class of optimiser. Got "
                f"{optimizer!r}; pass 'adam' or a subclass of torch.optim.Optimizer."
            )
        params = self._params_for("optimizer__")
        check_names(optimizer, params, "optimizer")
        if "lr" in params:
            raise ValueError(
                f"The learning rate is `lr`. Got `optimizer__lr`={params['lr']!r} as "
                "well; set `lr` alone."
            )
        batch_size = self.batch_size
        if batch_size == "auto":
            batch_size = min(max(n_rows // 20, 16), 128)
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
            self._resolved_penalty(), self.prune, groups, costs, self.unit_cost
        )

    def _n_inputs(self) -> int | None:
        asked = self.n_features_to_select
        if asked is None:
            return None
        if isinstance(asked, Integral):
            return int(asked)
        return max(1, int(asked * self._n_counted))

    @property
    def module_(self):
        """The finished network, over the retained raw inputs."""
        check_is_fitted(self)
        return self.net_.module_

    def _retained(self, X) -> np.ndarray:
        """Validate rows as in `fit`; return the retained columns for `module_`."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        double = next(self.module_.parameters()).dtype == torch.float64
        return X[:, self.support_].astype(np.float64 if double else np.float32)

    def _outputs(self, X) -> np.ndarray:
        """Return what the network says of rows, read as predictions."""
        check_is_fitted(self)
        if len(self.input_shape_) == 1:
            return self.net_.predict_proba(self._retained(X))
        X = self._check_images(X)
        size = Images.batch_size_to_score
        starts = range(0, len(X), size)
        dtype = next(self.module_.parameters()).dtype
        parts = [
            self.net_.predict_proba(
                cropped(X, np.arange(i, min(i + size, len(X))), self.support_).to(dtype)
            )
            for i in starts
        ]
        return np.concatenate(parts)

    def get_support(self, indices=False):
        """Get which inputs are retained.

        Parameters
        ----------
        indices : bool, default=False
            Whether to return positions instead of a mask.

        Returns
        -------
        ndarray of shape (n_features_in_,), bool, or of shape (n_retained,), int
            The mask, or the positions. The mask of images has the shape of one,
            (channels, height, width), and positions are those of its ravel.

        Raises
        ------
        NotFittedError
            Before `fit`.
        """
        check_is_fitted(self)
        return np.flatnonzero(self.support_) if indices else self.support_.copy()

    def get_group_support(self, indices=False):
        """Get which groups of inputs are retained.

        Parameters
        ----------
        indices : bool, default=False
            Whether to return positions instead of a mask.

        Returns
        -------
        ndarray of shape (n_groups,), bool, or of shape (n_retained,), int
            The mask over `feature_groups_`, or the positions there.

        Raises
        ------
        NotFittedError
            Before `fit`.
        """
        check_is_fitted(self)
        if len(self.input_shape_) > 1:
            raise ValueError(
                "Images have groups of several kinds. Read them off `get_support()`: "
                "`.any(axis=(0, 2))` are the rows that are retained."
            )
        first = [columns[0] for columns in self.feature_groups_]
        mask = self.support_[first]
        return np.flatnonzero(mask) if indices else mask

    def get_feature_names_out(self, input_features=None):
        """Get the names of the retained inputs.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of all inputs; None takes `feature_names_in_`, or x0, x1, ….

        Returns
        -------
        ndarray of str
            Names of the retained inputs.

        Raises
        ------
        NotFittedError
            Before `fit`.
        """
        check_is_fitted(self)
        if len(self.input_shape_) > 1:
            return np.array(
                ["x" + "_".join(map(str, at)) for at in np.argwhere(self.support_)],
                dtype=object,
            )
        return _check_feature_names_in(self, input_features)[self.support_]
