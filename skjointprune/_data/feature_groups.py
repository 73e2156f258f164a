"""Which columns of X stay or go together."""

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator

from .._utils.warn import warn_caller
from .by_name import positions_of_names, values_by_column
from .dummies import labels_of_dummies, labels_of_encoder


def resolve_groups(
    feature_groups: Any,
    X: np.ndarray,
    names: Sequence[Any] | None,
    parameter: str = "feature_groups",
) -> list[np.ndarray]:
    """Return the positions of the columns of each group.

    Parameters
    ----------
    feature_groups : labels, list of lists, "auto", encoder or None
        As a parameter of the estimators.
    X : ndarray of shape (rows, columns)
    names : sequence or None
        Labels of the columns of a frame, which may be other than text.
    parameter : str, default="feature_groups"
        For errors.

    Returns
    -------
    list of ndarray of int
        Each column is in one of them. Lists are in the order given, and columns that
        none of them names follow, alone. Otherwise groups are in the order of their
        first columns.

    Raises
    ------
    ValueError
        If labels are not one a column; a list names no column, an unknown one, or
        one that is taken; "auto" meets columns without names; or an encoder is not
        fitted, or makes other columns.
    """
    n = X.shape[1]
    if feature_groups is None:
        return [np.array([i]) for i in range(n)]
    if isinstance(feature_groups, str):
        if names is None or not all(isinstance(name, str) for name in names):
            raise ValueError(
                f"`{parameter}`='auto' reads the names of columns, and X has none. "
                "Pass a DataFrame (`set_output(transform='pandas')` of the encoder "
                "gives one), or lists of columns."
            )
        groups = _by_label(labels_of_dummies(X, names))
        if len(groups) == n:
            warn_caller(
                f"`{parameter}`='auto' found no columns that an encoder made of one "
                "category: each column is alone. Pass the fitted encoder, or lists of "
                "columns, or None."
            )
        return groups
    if isinstance(feature_groups, FrozenEstimator):
        feature_groups = feature_groups.estimator
    if hasattr(feature_groups, "fit_transform"):
        return _by_label(labels_of_encoder(feature_groups, n, parameter))
    if not isinstance(feature_groups, Mapping) and _are_lists(feature_groups):
        return _by_lists(feature_groups, n, names, parameter)
    labels = values_by_column(feature_groups, n, names, parameter)
    labels = np.asarray(labels, dtype=object)
    if labels.shape != (n,):
        raise ValueError(
            f"`{parameter}` must hold one label for each of the {n} columns of X. "
            f"Got an array of shape {labels.shape}; or pass lists of columns."
        )
    return _by_label(labels.tolist())


def _are_lists(groups) -> bool:
    return len(groups) > 0 and all(
        isinstance(g, Collection)
        and not isinstance(g, str)
        and getattr(g, "ndim", 1) > 0  # unlike the numbers of a tensor
        for g in groups
    )


def _by_label(labels: Sequence) -> list[np.ndarray]:
    """Return columns of equal labels together; one without a label is alone."""
    members: dict[Any, list[int]] = {}
    for i, label in enumerate(labels):
        # what is missing, as None, NaN or pd.NA, is not equal to itself or is None
        missing = label is None or (label == label) is not True
        members.setdefault((i, "alone") if missing else label, []).append(i)
    return [np.array(columns) for columns in members.values()]


def _by_lists(
    lists, n: int, names: Sequence[Any] | None, parameter: str
) -> list[np.ndarray]:
    position: dict[Any, Any] = positions_of_names(names)
    free = set(range(n))
    groups = []
    for listed in lists:
        columns = []
        for column in listed:
            i = position.get(column, column) if isinstance(column, Hashable) else -1
            if not isinstance(i, int | np.integer) or isinstance(i, bool | np.bool_):
                i = -1
            if int(i) not in free:
                known = 0 <= i < n
                if not known and names is not None and column in list(names):
                    raise ValueError(
                        f"`{parameter}` takes whole numbers for positions of columns. "
                        f"Got {column!r}, the name of a column; give its position, "
                        f"{list(names).index(column)}."
                    )
                raise ValueError(
                    f"`{parameter}` must name each column of X at most once. Got "
                    f"{column!r}, which is {'named twice' if known else 'no column'};"
                    f" X has {n} columns{'' if names is None else f': {list(names)}'}."
                )
            free.remove(int(i))
            columns.append(int(i))
        if not columns:
            raise ValueError(
                f"`{parameter}` must hold lists of columns. Got an empty list; "
                "leave it out."
            )
        groups.append(np.sort(columns))
    return groups + [np.array([i]) for i in sorted(free)]
