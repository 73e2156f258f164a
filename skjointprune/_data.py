"""Encoded arrays to tensors: hold out, standardise, put on a device."""

import copy
import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from ._training import Table


@dataclass
class Scaling:
    """What was subtracted from each column, and what it was then divided by.

    Both of shape (columns,), float64.
    """

    mean: Tensor
    scale: Tensor


@dataclass
class Data:
    """What training needs of X and y.

    `valid` is None where no rows are held out; a scaling is None where there is none.
    """

    train: Table
    valid: Table | None
    scaling: Scaling | None
    target_scaling: Scaling | None

    @property
    def tables(self) -> list[Table]:
        """The tables there are."""
        return [t for t in (self.train, self.valid) if t is not None]

    def view(self) -> "Data":
        """Return data on the same rows whose columns can be dropped on their own."""
        valid = None if self.valid is None else copy.copy(self.valid)
        return replace(self, train=copy.copy(self.train), valid=valid)


def prepare(
    X: np.ndarray,
    y: np.ndarray,
    sample_weight: np.ndarray,
    *,
    validation_fraction: float | None,
    standardize: bool,
    scale_targets: bool,
    seed: int,
    device: torch.device,
) -> Data:
    """Turn validated X, encoded y and weights into tables on a device.

    A y of integers holds the codes of classes. Everything that is estimated from the
    data is estimated on the rows that are not held out.
    """
    rng = np.random.default_rng(seed)
    strata = y if y.dtype.kind == "i" else np.zeros(len(y), dtype=int)
    held_out = draw_held_out(strata, validation_fraction or 0.0, rng)
    held_out &= sample_weight > 0
    rows = {"train": ~held_out, "valid": held_out}
    weight = sample_weight / sample_weight[~held_out].mean()
    scaling, Xs = _scale(X, rows, weight, standardize)
    target_scaling, ys = _scale(y, rows, weight, scale_targets)

    def table(name: str) -> Table:
        targets = ys[name] if y.dtype.kind == "i" else ys[name].astype(np.float32)
        return Table(
            torch.from_numpy(Xs[name].astype(np.float32, copy=False)).to(device),
            torch.from_numpy(targets).to(device),
            torch.from_numpy(weight[rows[name]].astype(np.float32)).to(device),
        )

    valid = table("valid") if held_out.any() else None
    return Data(table("train"), valid, scaling, target_scaling)


def _scale(
    values: np.ndarray, rows: dict[str, np.ndarray], weight: np.ndarray, wanted: bool
) -> tuple[Scaling | None, dict[str, np.ndarray]]:
    """Split rows into parts, standardised by the training part if wanted."""
    parts = {name: values[mask] for name, mask in rows.items()}  # copies, changed below
    if not wanted:
        return None, parts
    scaler = StandardScaler(copy=False)
    scaler.fit(parts["train"], sample_weight=weight[rows["train"]])
    for part in parts.values():
        part -= scaler.mean_.astype(part.dtype)
        part /= scaler.scale_.astype(part.dtype)
    mean, scale = torch.from_numpy(scaler.mean_), torch.from_numpy(scaler.scale_)
    return Scaling(mean, scale), parts


def draw_held_out(
    strata: np.ndarray, fraction: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw a mask of rows to hold out, the same share of every stratum.

    Rounded down in each, so that a rare class stays in training whole.
    """
    held_out = np.zeros(len(strata), dtype=bool)
    for code in range(strata.max() + 1):
        rows = np.flatnonzero(strata == code)
        n_out = math.floor(fraction * len(rows))
        held_out[rng.choice(rows, n_out, replace=False)] = True
    return held_out
