"""Which columns an encoder made of one category."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

SEPARATOR = re.compile(r"[\W_]+")


def labels_of_dummies(X: np.ndarray, names: Sequence[str]) -> list:
    """Label columns alike that an encoder made of one category, as names and data say.

    `OneHotEncoder` names them category_level, next to each other, and
    `ColumnTransformer` puts name__ before; others have another separator. As levels and
    categories may hold a separator themselves, the data decides as well: columns of one
    category hold two numbers, 0 and 1 before they were scaled, and at most one of a
    row's is the larger one.
    """
    bare = [name.partition("__")[2] or name for name in names]
    labels: list = []
    category, ones = "", np.zeros(len(X), dtype=bool)
    for i, name in enumerate(bare):
        column = X[:, i]
        low, high = column.min(), column.max()
        is_high = column == high
        binary = bool((is_high | (column == low)).all()) and (
            low < high or low in (0, 1)
        )
        is_high &= high > low or high == 1
        shared = _common_category(category, name) if labels else ""
        if binary and shared and not (ones & is_high).any():
            labels.append(labels[-1])
            category, ones = shared, ones | is_high
        else:
            labels.append(i)
            category, ones = name if binary else "", is_high
    return labels


def _common_category(a: str, b: str) -> str:
    """Return the longest prefix of two names that ends in a separator."""
    n = 0
    while n < min(len(a), len(b)) and a[n] == b[n]:
        n += 1
    ends = [found.end() for found in SEPARATOR.finditer(a, 0, n) if found.start() > 0]
    return a[: ends[-1]] if ends else ""


def labels_of_encoder(encoder: Any, n: int, parameter: str = "feature_groups") -> list:
    """Label columns alike that a fitted encoder made of one category.

    Parameters
    ----------
    encoder : OneHotEncoder, ColumnTransformer or Pipeline
        Fitted. Of a pipeline, the last step that makes columns of categories counts.
    n : int
        How many columns X has.
    parameter : str, default="feature_groups"
        For errors.

    Raises
    ------
    ValueError
        If it makes another number of columns.
    NotFittedError
        If it is not fitted.
    """
    kind = type(encoder).__name__
    try:
        check_is_fitted(encoder)
    except NotFittedError as error:
        raise NotFittedError(
            f"The {kind} of `{parameter}` is not fitted: a search, or folds, copy an "
            "encoder without what it has learnt. Fit it, and pass "
            "sklearn.frozen.FrozenEstimator(encoder)."
        ) from error
    sizes = _block_sizes(encoder)
    if sizes is None or sum(sizes) != n:
        made = "no columns of categories" if sizes is None else f"{sum(sizes)} columns"
        raise ValueError(
            f"`{parameter}`={kind} must be what encoded X, of {n} "
            f"columns. It makes {made}; pass the fitted encoder, or lists of columns."
        )
    return [block for block, size in enumerate(sizes) for _ in range(size)]


def _block_sizes(encoder: Any) -> list[int] | None:
    """Return how many columns a fitted encoder makes of each; None if it is unclear."""
    if hasattr(encoder, "steps"):  # a pipeline: what scales does not know of blocks
        made = (_block_sizes(step) for _, step in reversed(encoder.steps))
        return next((sizes for sizes in made if sizes is not None), None)
    if hasattr(encoder, "output_indices_"):  # a ColumnTransformer
        sizes: list[int] = []
        for name, part, _ in encoder.transformers_:
            place = encoder.output_indices_[name]
            width = place.stop - place.start
            of_part = None if isinstance(part, str) else _block_sizes(part)
            if of_part is None or sum(of_part) != width:
                of_part = [1] * width
            sizes += of_part
        return sizes
    if not (hasattr(encoder, "categories_") and hasattr(encoder, "drop_idx_")):
        return None
    n_categories = len(encoder.categories_)
    # scikit-learn warns, or raises, where it was not asked to join rare levels
    rare = getattr(encoder, "infrequent_categories_", None) or [None] * n_categories
    dropped = encoder.drop_idx_
    return [
        len(levels)
        - (0 if infrequent is None else len(infrequent) - 1)
        - (dropped is not None and dropped[i] is not None)
        for i, (levels, infrequent) in enumerate(
            zip(encoder.categories_, rare, strict=True)
        )
    ]
