"""Names of inputs: x0, x1, … of a table, x0_1_2 of an image, or a user's own."""

import numpy as np


def input_names(shape: tuple[int, ...], names=None) -> np.ndarray:
    """Return the name of each input of a row of X, in flat order.

    `shape` is that of the row; `names`, where there are any, are taken as they are.
    """
    if names is not None:
        return np.asarray(names, dtype=object).ravel()
    return np.array(
        ["x" + "_".join(map(str, position)) for position in np.ndindex(*shape)],
        dtype=object,
    )


def names_of_columns(X) -> np.ndarray | None:
    """Return the names of the columns of a frame; None where not all are str."""
    labels = labels_of_columns(X)
    if labels is None or not all(isinstance(label, str) for label in labels):
        return None
    return np.array(labels, dtype=object)


def labels_of_columns(X) -> list | None:
    """Return what the columns of a frame are called, text or not; None without any."""
    if hasattr(X, "column_names"):  # a table of pyarrow
        return list(X.column_names) or None
    return list(getattr(X, "columns", [])) or None
