"""What a fit leaves on an estimator: set in one place, and read."""

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._data.inputs import Inputs
from .._data.targets import Targets
from .._training.fit import Fit
from .._training.net import PruningNet
from .._utils.torch import kind_of_rows


def adopt(estimator: Any, fit: Fit) -> Any:
    """Set the attributes of a fitted estimator, and drop those of an earlier fit."""
    inputs, targets = fit.inputs, fit.targets
    optional = {
        "feature_names_in_": inputs.names,
        "feature_groups_": inputs.groups,
        "categories_": inputs.categories,
        "classes_": getattr(targets, "labels", None),
    }
    for name, value in optional.items():
        if value is not None:
            setattr(estimator, name, value)
        else:
            vars(estimator).pop(name, None)
    estimator._inputs, estimator._targets = inputs, targets
    estimator.input_shape_ = inputs.shape
    estimator.n_features_in_ = inputs.shape[0]
    estimator.support_ = fit.support
    estimator.feature_importances_ = fit.importances
    estimator.feature_importances_se_ = fit.importance_errors
    estimator.net_ = fit.net
    estimator.history_ = fit.history
    estimator.n_iter_ = len(fit.history)
    estimator.report_ = fit.report
    return estimator


def fit_of(estimator: Any) -> Fit:
    """Return what a fitted estimator has adopted.

    Raises
    ------
    NotFittedError
        Before `fit`.
    """
    check_is_fitted(estimator)
    return Fit(
        estimator._inputs,
        estimator._targets,
        estimator.net_,
        estimator.support_,
        estimator.feature_importances_,
        estimator.feature_importances_se_,
        estimator.history_,
        estimator.report_,
    )


class FittedNetwork:
    """The part of an estimator that reads what a fit has left."""

    # as `adopt` sets them
    _inputs: Inputs
    _targets: Targets
    support_: np.ndarray
    net_: PruningNet

    @property
    def module_(self):
        """The finished network, over the retained raw inputs."""
        check_is_fitted(self)
        return self.net_.module_

    def _outputs(self, X) -> np.ndarray:
        """Return the outputs of the network for rows, read as predictions."""
        check_is_fitted(self)
        dtype = kind_of_rows(self.module_)["dtype"]
        parts = self._inputs.read(self, X, self.support_, dtype)
        return np.concatenate([self.net_.predict_proba(part) for part in parts])

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
        ValueError
            After a fit to images, whose groups overlap.
        """
        check_is_fitted(self)
        mask = self._inputs.group_support(self.support_)
        return np.flatnonzero(mask) if indices else mask

    def get_feature_names_out(self, input_features=None):
        """Get the names of the retained inputs.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of all columns; None takes `feature_names_in_`, or x0, x1, ….
            Numbers of images are x0_1_2, of channel, row and column.

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
        return self._inputs.names_of(self, self.support_, input_features)
