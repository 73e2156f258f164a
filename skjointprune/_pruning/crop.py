"""Crop images to what is retained, and a network to such images."""

import warnings
from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .._graph.network import Network
from .._graph.compact import compact_
from .._utils.context import kind_of_rows, warn_caller
from .._data.images import Images
from .._data.readers import Reader, check_finite, slices
from .._graph.trace import trace

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


class Frame(nn.Module):
    """Make images as large as the network needs, of what is retained of them.

    Stands before a mask that zeroes what is not, so it may be anything here.

    Parameters
    ----------
    channels, rows, columns : Tensor
        Of each that the network needs, which one it is of those that are retained.
    """

    channels: Tensor
    rows: Tensor
    columns: Tensor

    def __init__(self, channels: Tensor, rows: Tensor, columns: Tensor):
        super().__init__()
        self.register_buffer("channels", channels)
        self.register_buffer("rows", rows)
        self.register_buffer("columns", columns)

    def forward(self, X: Tensor) -> Tensor:
        """Return the larger images."""
        for dim, at in enumerate((self.channels, self.rows, self.columns), start=1):
            X = X.index_select(dim, at)
        return X


def frame_of(needed: Box, retained: Box) -> Frame | None:
    """Return what makes a box of what is retained the one that the network needs."""
    if all(map(np.array_equal, needed, retained)):
        return None
    at = [
        np.searchsorted(small, large).clip(max=len(small) - 1)
        for large, small in zip(needed, retained, strict=True)
    ]
    return Frame(*map(torch.from_numpy, at))


def crop_that_runs(
    module: nn.Module, channels: int, rows: np.ndarray, columns: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return masks of rows and columns, grown until the module runs on such an image.

    It is to use the weights that it uses for whole images, as no others are trained.
    Masks grow next to what they hold, and no more than is needed.
    """
    rows, columns = rows.copy(), columns.copy()
    probe = deepcopy(module).cpu()
    trained = _weights_used(probe, channels, len(rows), len(columns))

    def runs() -> bool:
        size = channels, int(rows.sum()), int(columns.sum())
        return _runs(probe, *size) and _weights_used(probe, *size) == trained

    grown = []
    while not runs():
        shorter, longer = sorted((rows, columns), key=np.sum)
        mask = longer if shorter.all() else shorter
        if mask.all():
            return rows, columns
        near = np.abs(np.flatnonzero(~mask)[:, None] - np.flatnonzero(mask)).min(1)
        at = np.flatnonzero(~mask)[near.argmin()]
        mask[at] = True
        grown.append((mask, at))
    for mask, at in reversed(grown):
        mask[at] = False
        mask[at] = not runs()
    return rows, columns


def _runs(probe: nn.Module, channels: int, height: int, width: int) -> bool:
    """Tell whether a copy of a module predicts, and can be trained, on such images."""
    generator = torch.Generator().manual_seed(0)
    X = torch.rand(2, channels, height, width, generator=generator)
    X = X.to(**kind_of_rows(probe))
    try:
        with (
            torch.no_grad(),
            torch.random.fork_rng(devices=[]),
            warnings.catch_warnings(action="ignore"),
        ):
            probe.train()(X.clone())
            out = probe.eval()(X)
    except Exception:  # sizes that do not fit: whatever the module raises
        return False
    # Rows may become others; and a spread over one pixel is not a number.
    return len(out) == len(X) and bool(out.isfinite().all())


def _weights_used(probe: nn.Module, *shape: int) -> set[str]:
    """Return the names of parameters that the code uses to predict such images.

    None of them where it goes a way that cannot be traced.
    """
    try:
        nodes = trace(deepcopy(probe).eval(), shape).nodes
    except ValueError:
        return set()
    # the parameters of a layer have its name before theirs
    used = {f"{n.target}." for n in nodes if n.op in ("call_module", "get_attr")}
    names = (name for name, _ in probe.named_parameters())
    return {name for name in names if f"{name}.".startswith(tuple(used))}


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
