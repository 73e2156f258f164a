"""Which columns of X stay or go together."""

from collections.abc import Collection, Hashable, Sequence
from typing import Any

import numpy as np


def resolve_groups(
    feature_groups: Any, X: np.ndarray, names: Sequence[str] | None
) -> list[np.ndarray]:
    """Return the positions of the columns of each group.

    Parameters
    ----------
    feature_groups : array of labels, list of lists, "auto" or None
        As a parameter of the estimators.
    X : ndarray of shape (rows, columns)
    names : sequence of str or None
        Names of the columns, where there are any.

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
        one that is taken; or "auto" meets columns without names.
    """
    n = X.shape[1]
    if feature_groups is None:
        return [np.array([i]) for i in range(n)]
    if isinstance(feature_groups, str):
        if names is None:
            raise ValueError(
                "`feature_groups`='auto' reads the names of columns, and X has none. "
                "Pass a DataFrame (`set_output(transform='pandas')` of the encoder "
                "gives one), or lists of columns."
            )
        return _by_label(_one_hot_labels(X, names))
    if _are_lists(feature_groups):
        return _by_lists(feature_groups, n, names)
    labels = np.asarray(feature_groups)
    if labels.shape != (n,):
        raise ValueError(
            f"`feature_groups` must hold one label for each of the {n} columns of X. "
            f"Got an array of shape {labels.shape}; or pass lists of columns."
        )
    return _by_label(labels.tolist())


def _are_lists(groups) -> bool:
    return len(groups) > 0 and all(
        isinstance(g, Collection) and not isinstance(g, str) for g in groups
    )


def _by_label(labels: Sequence) -> list[np.ndarray]:
    members: dict[Any, list[int]] = {}
    for i, label in enumerate(labels):
        members.setdefault(label, []).append(i)
    return [np.array(columns) for columns in members.values()]


def _by_lists(lists, n: int, names: Sequence[str] | None) -> list[np.ndarray]:
    position: dict[Any, Any] = (
        {} if names is None else {name: i for i, name in enumerate(names)}
    )
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
                raise ValueError(
                    "`feature_groups` must name each column of X at most once. Got "
                    f"{column!r}, which is {'named twice' if known else 'no column'};"
                    f" X has {n} columns{'' if names is None else f': {list(names)}'}."
                )
            free.remove(int(i))
            columns.append(int(i))
        if not columns:
            raise ValueError(
                "`feature_groups` must hold lists of columns. Got an empty list; "
                "leave it out."
            )
        groups.append(np.sort(columns))
    return groups + [np.array([i]) for i in sorted(free)]


def _one_hot_labels(X: np.ndarray, names: Sequence[str]) -> list:
    """Label columns that an encoder made of one category alike.

    `OneHotEncoder` names them category_level, next to each other, and
    `ColumnTransformer` puts name__ before. As levels and categories may hold an
    underscore themselves, the data decides as well: columns of one category hold 0
    and 1, and at most one 1 a row.
    """
    bare = [name.partition("__")[2] or name for name in names]
    labels: list = []
    category, ones = "", np.zeros(len(X), dtype=bool)
    for i, name in enumerate(bare):
        column = X[:, i]
        binary = bool(np.isin(column, (0, 1)).all())
        shared = _common_category(category, name) if labels else ""
        if binary and shared and not (ones & (column == 1)).any():
            labels.append(labels[-1])
            category, ones = shared, ones | (column == 1)
        else:
            labels.append(i)
            category = name if binary else ""
            ones = column == 1
    return labels


def _common_category(a: str, b: str) -> str:
    """Return the longest prefix of two names that ends in an underscore."""
    n = 0
    while n < min(len(a), len(b)) and a[n] == b[n]:
        n += 1
    return a[: a.rfind("_", 0, n) + 1]
