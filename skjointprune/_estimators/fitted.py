"""What can be read off a fitted estimator: its network, outputs and retained inputs."""

from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted, validate_data

from .._data.boxes import read_cropped
from .._training.net import PruningNet
from .._utils.input_names import input_names
from .._utils.sklearn import _check_feature_names_in
from .._utils.torch import kind_of_rows


class FittedNetwork:
    """The part of an estimator that reads what a fit has left."""

    # of the estimator
    input_shape_: tuple[int, ...]
    support_: np.ndarray
    feature_groups_: list[np.ndarray]
    net_: PruningNet
    _check_images: Any

    @property
    def module_(self):
        """The finished network, over the retained raw inputs."""
        check_is_fitted(self)
        return self.net_.module_

    def _retained(self, X) -> np.ndarray:
        """Validate rows as in `fit`; return the retained columns for `module_`."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        double = kind_of_rows(self.module_)["dtype"] == torch.float64
        return X[:, self.support_].astype(np.float64 if double else np.float32)

    def _outputs(self, X) -> np.ndarray:
        """Return what the network says of rows, read as predictions."""
        check_is_fitted(self)
        if len(self.input_shape_) == 1:
            return self.net_.predict_proba(self._retained(X))
        X = self._check_images(X)
        dtype = kind_of_rows(self.module_)["dtype"]
        read = read_cropped(X, self.support_)
        return np.concatenate(
            [self.net_.predict_proba(images.to(dtype)) for images in read]
        )

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
                "Groups of images have no list. Read them off `get_support()`: "
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
        if len(self.input_shape_) > 1:
            return input_names(self.input_shape_)[self.support_.ravel()]
        return _check_feature_names_in(self, input_features)[self.support_]
