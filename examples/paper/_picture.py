"""Which pixels of an image a network reads."""

import numpy as np
from matplotlib.figure import Figure


def save_picture(path, X, supports):
    """Save the mean image, with what is not retained left out, for each support."""
    mean = X.mean(axis=(0, 1))
    size = 3.2 * len(supports), 3.6
    figure = Figure(figsize=size, layout="constrained")
    for ax, support in zip(
        figure.subplots(1, len(supports), squeeze=False)[0], supports, strict=True
    ):
        read = support.any(axis=0)
        ax.imshow(np.where(read, mean, np.nan), cmap="gray", interpolation="nearest")
        ax.set_facecolor("tab:orange")
        n_rows, n_columns = read.any(axis=1).sum(), read.any(axis=0).sum()
        ax.set_title(f"{n_rows} rows of {len(read)},\n{n_columns} columns are read")
    figure.savefig(path, dpi=80)
