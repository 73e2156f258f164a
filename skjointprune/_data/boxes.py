"""What is retained of an image: a box of channels, rows and columns."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._layers.frame import Frame
from .images import Images
from .readers import Reader, check_finite, slices

Box = tuple[np.ndarray, np.ndarray, np.ndarray]  # of channels, rows, columns


def smallest_box(support: np.ndarray) -> Box:
    """Return the positions of the channels, rows and columns that hold something."""
    return tuple(  # type: ignore[return-value]
        np.flatnonzero(support.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))
    )


def read_cropped(source: Any, support: np.ndarray) -> Iterator[Tensor]:
    """Return images cropped to what is retained of them, some at a time.

    Numbers in the box that are not retained are 0.
    """
    box = smallest_box(support)
    batches = slices(len(source), Images.batch_size_to_score)
    inside = torch.from_numpy(support[np.ix_(*box)])
    reader = Reader(source, np.arange(len(source)))
    for rows in batches:
        X = reader[rows]
        check_finite(X, reader.rows[rows])
        for dim, kept in enumerate(box, start=1):
            X = X.index_select(dim, torch.from_numpy(kept))
        yield X if bool(inside.all()) else X * inside.to(X.dtype)


def frame_of(needed: Box, retained: Box) -> Frame | None:
    """Return a layer that puts the retained box into the one that the network needs."""
    if all(map(np.array_equal, needed, retained)):
        return None
    positions = [
        np.searchsorted(small, large).clip(max=len(small) - 1)
        for large, small in zip(needed, retained, strict=True)
    ]
    return Frame(*map(torch.from_numpy, positions))
