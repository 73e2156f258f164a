"""y, or the labels of a dataset; rows of X."""

from typing import Any

import numpy as np
from torch.utils.data import Dataset, Subset

from .._utils.sklearn import _safe_indexing
from .check_images import is_images
from .readers import DATASETS

LOOKED_AT = 16  # items of a dataset, to see whether its list of labels is of these


def take(X: Any, rows: np.ndarray) -> Any:
    """Return some rows of X; those of images are not copied."""
    return Subset(X, rows.tolist()) if is_images(X) else _safe_indexing(X, rows)


def targets_of(X: Any, y: Any) -> Any:
    """Return y, or where it is None the labels of a dataset."""
    return labels_of(X) if y is None and isinstance(X, DATASETS) else y


def labels_of(dataset: Dataset) -> np.ndarray:
    """Return the labels of a dataset; where it does not list them, all is read once.

    Raises
    ------
    ValueError
        If it has none.
    """
    n = len(dataset)  # type: ignore[arg-type]
    first = dataset[0]
    paired = isinstance(first, tuple | list) and len(first) > 1
    for name in ("targets", "labels"):
        listed = np.asarray(getattr(dataset, name, None))
        if listed.shape[:1] != (n,):  # of something else
            continue
        some = range(0, n, -(-n // LOOKED_AT))
        # a dataset may return others, as with a `target_transform`
        if not paired or all(np.array_equal(dataset[i][1], listed[i]) for i in some):
            return listed
    if not paired:
        raise ValueError(
            f"The dataset {type(dataset).__name__} has no labels, and y is None. "
            "Pass y, or let the dataset return tuples (image, label)."
        )
    return np.asarray([dataset[i][1] for i in range(n)])
