"""Crops of images on which a network still runs."""

import warnings
from copy import deepcopy

import numpy as np
import torch
from torch import nn

from .._graph.trace import trace
from .._utils.torch import kind_of_rows


def crop_that_runs(
    module: nn.Module, channels: int, rows: np.ndarray, columns: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return masks of rows and columns, grown until the module runs on such an image.

    The module must use the weights that it uses for whole images, as no others are
    trained. The masks grow next to what they hold, and no more than is needed.
    """
    rows, columns = rows.copy(), columns.copy()
    probe = deepcopy(module).cpu()
    trained = _weights_used(probe, channels, len(rows), len(columns))

    def runs_cropped() -> bool:
        size = channels, int(rows.sum()), int(columns.sum())
        return runs(probe, *size) and _weights_used(probe, *size) == trained

    grown = []
    while not runs_cropped():
        shorter, longer = sorted((rows, columns), key=np.sum)
        mask = longer if shorter.all() else shorter
        if mask.all():
            return rows, columns
        outside, inside = np.flatnonzero(~mask), np.flatnonzero(mask)
        nearest = outside[np.abs(outside[:, None] - inside).min(1).argmin()]
        mask[nearest] = True
        grown.append((mask, nearest))
    for mask, added in reversed(grown):
        mask[added] = False
        mask[added] = not runs_cropped()
    return rows, columns


def runs(probe: nn.Module, channels: int, height: int, width: int) -> bool:
    """Tell whether a copy of a module predicts, and can be trained, on such images.

    The statistics that it collects in training change.
    """
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
    """Return the names of the parameters that predict such images.

    The set is empty where the code cannot be traced.
    """
    try:
        graph, *_ = trace(deepcopy(probe).eval(), shape)
    except ValueError:
        return set()
    # the parameters of a layer have its name before theirs
    used = {f"{n.target}." for n in graph.nodes if n.op in ("call_module", "get_attr")}
    names = (name for name, _ in probe.named_parameters())
    return {name for name in names if f"{name}.".startswith(tuple(used))}
