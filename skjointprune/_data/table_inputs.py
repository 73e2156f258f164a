"""Tables as X: what is checked of them, and what is asked of their columns."""

from typing import Any

import numpy as np
from sklearn.utils.validation import validate_data

from .feature_groups import resolve_groups
from .prepare import Data, prepare


class TableInput:
    """The part of an estimator that takes tables."""

    # of the estimator
    feature_groups: Any
    feature_costs: Any
    n_features_to_select: Any
    validation_fraction: Any
    standardize: bool
    n_features_in_: int
    _y_numeric: bool
    _n_counted: int
    _n_inputs: Any
    _encode: Any
    _check_for: Any
    _check_weight: Any
    _check_inputs_may_go: Any

    def _validate_table(self, X, y, sample_weight, seed: int, device) -> Data:
        """Do as `_validate` with a table."""
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
        self._check_for(
            "images",
            train_transform=None,
            transform_batches=False,
            num_workers=0,
            input_groups=None,
        )
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
