"""What is retained of an image: a box of channels, rows and columns."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._graph.compact import compact_
from .._graph.network import Network
from .._layers.frame import Frame
from .._pruning.crop import crop_that_runs
from .._utils.warn import warn_caller
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

    What is between that, but not retained, is 0.
    """
    box = smallest_box(support)
    at = slices(len(source), Images.batch_size_to_score)
    inside = torch.from_numpy(support[np.ix_(*box)])
    reader = Reader(source, np.arange(len(source)))
    for X in map(reader.__getitem__, at):
        check_finite(X)
        for dim, kept in enumerate(box, start=1):
            X = X.index_select(dim, torch.from_numpy(kept))
        yield X if bool(inside.all()) else X * inside.to(X.dtype)


def frame_of(needed: Box, retained: Box) -> Frame | None:
    """Return what makes a box of what is retained the one that the network needs."""
    if all(map(np.array_equal, needed, retained)):
        return None
    at = [
        np.searchsorted(small, large).clip(max=len(small) - 1)
        for large, small in zip(needed, retained, strict=True)
    ]
    return Frame(*map(torch.from_numpy, at))


def crop_(
    network: Network, tables: Sequence[Images], support: Tensor
) -> tuple[np.ndarray, Box]:
    """Crop images and network to what got through the gates, and drop the gates.

    Parameters
    ----------
    network : Network
        Over the retained channels; told the new shape of its input.
    tables : sequence of Images
        Changed in place. What no product of channels, rows and columns can drop is
        zeroed.
    support : Tensor
        Positions of the channels that are left.

    Returns
    -------
    mask : ndarray of shape (channels, height, width), bool
        What is retained of an image.
    box : Box
        What the network needs. A channel, row or column that it cannot lose is in it,
        though nothing of it may be retained.
    """
    gates = tables[0].gates
    assert gates is not None
    mask = torch.zeros(gates.shape, dtype=torch.bool)
    mask[support] = gates.support().cpu()[support]
    left = mask.any(dim=2).any(dim=1)[support]  # of the channels that are there
    if not left.all() and not network.inputs.pinned:
        compact_(network, {"inputs": left.to(gates.device)})
        support = support[left]
        for table in tables:
            table.keep_inputs(left.nonzero().flatten())
    rows = mask.any(dim=2).any(dim=0).numpy()
    columns = mask.any(dim=1).any(dim=0).numpy()
    height, width = rows.sum(), columns.sum()
    rows, columns = crop_that_runs(network.module, len(support), rows, columns)
    if rows.sum() > height or columns.sum() > width:
        warn_caller(
            f"`module` does not run on {height} x {width} images as on whole ones, so "
            f"it is given {rows.sum()} x {columns.sum()}, with zeros for what is not "
            "retained. Use a network that takes smaller images, or lower `alpha`."
        )
    box = support.numpy(), np.flatnonzero(rows), np.flatnonzero(columns)
    inside = mask[np.ix_(*box)]
    for table in tables:
        table.gates = None
        table.keep_inputs(torch.from_numpy(box[1]), dim=2)
        table.keep_inputs(torch.from_numpy(box[2]), dim=3)
        if not inside.all():
            table.mask = inside.to(gates.device, torch.float32)
    network.input_shape = tuple(inside.shape)
    return mask.numpy(), box
