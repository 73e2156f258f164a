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
    names = np.asarray(getattr(X, "columns", []), dtype=object)
    named = len(names) and all(isinstance(name, str) for name in names)
    return names if named else None
