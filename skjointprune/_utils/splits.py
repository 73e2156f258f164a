"""Folds of rows, as `cv` gives them."""

from typing import Any

import numpy as np


def list_splits(
    splitter: Any, cv: Any, X: Any, y: Any, **params: Any
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the rows to train on and to test on, of each split.

    Parameters
    ----------
    splitter : splitter of scikit-learn
        What `check_cv` makes of `cv`.
    cv : Any
        What the user has given, for the error.
    X, y, **params
        What `split` of the splitter takes.

    Raises
    ------
    ValueError
        If there is no split.
    """
    splits = list(splitter.split(X, y, **params))
    if not splits:
        raise ValueError(
            f"`cv` must give at least one split. Got none from {cv!r}; pass a number "
            "of folds, for example."
        )
    return splits
