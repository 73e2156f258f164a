"""Names of inputs: those of columns, or x0, x1, …, or x0_1_2 of an image."""

import numpy as np


def input_names(shape: tuple[int, ...], names=None) -> np.ndarray:
    """Return a name for each input of a row, or image, of a shape, in flat order."""
    if names is not None:
        return np.asarray(names, dtype=object).ravel()
    return np.array(
        ["x" + "_".join(map(str, at)) for at in np.ndindex(*shape)], dtype=object
    )
