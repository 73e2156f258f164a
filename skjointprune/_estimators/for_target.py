"""Which estimator a target calls for, where none is given."""

import numpy as np
from sklearn.utils.multiclass import type_of_target

from .._data.survival import holds_survival, is_frame_of_event_and_time
from .._data.targets import FEW_ROWS_EACH
from .base import JointPruneEstimator
from .classifier import JointPruneClassifier
from .regressor import JointPruneRegressor
from .survival import JointPruneSurvival

ESTIMATORS = (JointPruneClassifier, JointPruneRegressor, JointPruneSurvival)

MOST_CLASSES = 20  # of whole numbers that are taken for classes without a word


def default_estimator(y, **params) -> JointPruneEstimator:
    """Return an estimator for events and times, numbers, or classes; all repeat.

    Raises
    ------
    ValueError
        If y holds whole numbers that may be either, or names a column of a dataset.
    """
    if isinstance(y, str):
        raise ValueError(
            f"What y holds says which estimator to use. Got the name {y!r}; pass "
            "`estimator`=JointPruneClassifier() or JointPruneRegressor()."
        )
    kind: type[JointPruneEstimator] = JointPruneClassifier
    if holds_survival(y) or is_frame_of_event_and_time(y):
        kind = JointPruneSurvival
    elif _holds_numbers(y):
        kind = JointPruneRegressor
    return kind(random_state=0, **params)


def _holds_numbers(y) -> bool:
    """Tell whether y holds numbers to predict, rather than classes."""
    if y is None:
        return False
    kind = type_of_target(y)
    if kind != "multiclass":
        return kind.startswith("continuous") or kind == "multiclass-multioutput"
    y = np.asarray(y)
    if y.dtype.kind not in "iuf":
        return False
    n_values = len(np.unique(y))
    if n_values <= MOST_CLASSES:
        return False
    if n_values * FEW_ROWS_EACH >= len(y):
        return True
    raise ValueError(
        f"y may be classes or numbers to predict. Got {n_values} whole numbers in "
        f"{len(y)} rows; pass `estimator`=JointPruneClassifier() or "
        "JointPruneRegressor()."
    )
