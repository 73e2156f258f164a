"""What every joint-pruning estimator has, whatever it predicts."""

from inspect import isclass
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from ._fitting import Trainer
from ._params import PassedOnParams
from ._sklearn import (
    HasMethods,
    Interval,
    RealNotInt,
    StrOptions,
    _check_feature_names_in,
)
from ._sparsify import PENALTIES, Penalty
from .modules import check_names

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}


class JointPruneEstimator(PassedOnParams, BaseEstimator):
    """Parameters resolved, and the fitted network read."""

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
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "random_state": ["random_state"],
        "device": [str, torch.device],
        "verbose": ["verbose"],
        "callbacks": [list, tuple, None],
        "module": [callable, None],
    }

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
            lr=self.lr,
            batch_size=batch_size,
            optimizer=optimizer,
            optimizer_params=params,
            device=device,
            verbose=int(self.verbose),
            callbacks=self.callbacks or (),
        )

    def _penalty(self) -> Penalty:
        if isinstance(self.penalty, str):
            return PENALTIES[self.penalty]()
        return self.penalty

    def _n_inputs(self) -> int | None:
        asked = self.n_features_to_select
        if asked is None:
            return None
        if isinstance(asked, Integral):
            return int(asked)
        return max(1, int(asked * self.n_features_in_))

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

    def get_support(self, indices=False):
        """Get which inputs are retained.

        Parameters
        ----------
        indices : bool, default=False
            Whether to return positions instead of a mask.

        Returns
        -------
        ndarray of shape (n_features_in_,), bool, or of shape (n_retained,), int
            The mask, or the positions.

        Raises
        ------
        NotFittedError
            Before `fit`.
        """
        check_is_fitted(self)
        return np.flatnonzero(self.support_) if indices else self.support_.copy()

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
        return _check_feature_names_in(self, input_features)[self.support_]
