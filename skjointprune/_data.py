"""Validated arrays to tensors: encode, weigh, hold out, standardise."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight
from torch import Tensor

from ._training import Table


@dataclass
class Data:
    """What training needs of X and y.

    `valid` is None where no rows are held out; `mean` and `scale`, (inputs,), are
    None where nothing was standardised.
    """

    classes: np.ndarray
    train: Table
    valid: Table | None
    mean: Tensor | None
    scale: Tensor | None

    @property
    def tables(self) -> list[Table]:
        """The tables there are."""
        return [t for t in (self.train, self.valid) if t is not None]


def prepare(
    X: np.ndarray,
    y: np.ndarray,
    sample_weight: np.ndarray,
    *,
    class_weight,
    validation_fraction: float | None,
    standardize: bool,
    seed: int,
    device: torch.device,
) -> Data:
    """Turn validated X, y and weights into tables on a device.

    Rows of weight zero are left out. Everything that is estimated from the data is
    estimated on the rows that are not held out.

    Raises
    ------
    ValueError
        If fewer than two classes have rows of positive weight, or a class has a
        negative one.
    """
    counted = sample_weight > 0
    if not counted.all():
        X, y, sample_weight = X[counted], y[counted], sample_weight[counted]
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"y must hold at least 2 classes. Got {len(classes)} class with rows of "
            "positive weight; add rows of another class."
        )
    weight = sample_weight * compute_sample_weight(class_weight, y)
    if (weight < 0).any() or not weight.any():
        raise ValueError(
            "`class_weight` must not be negative, nor 0 for all classes. Got "
            f"{class_weight}; use 0 to leave a class out of the loss."
        )
    rng = np.random.default_rng(seed)
    held_out = draw_held_out(codes, validation_fraction or 0.0, rng) & (weight > 0)
    rows = {"train": ~held_out, "valid": held_out}
    parts = {name: X[mask] for name, mask in rows.items()}  # copies, changed below
    mean = scale = None
    if standardize:
        scaler = StandardScaler(copy=False)
        scaler.fit(parts["train"], sample_weight=weight[~held_out])
        mean, scale = torch.from_numpy(scaler.mean_), torch.from_numpy(scaler.scale_)
        for part in parts.values():
            part -= scaler.mean_.astype(part.dtype)
            part /= scaler.scale_.astype(part.dtype)
    weight = weight / weight[~held_out].mean()

    def table(name: str) -> Table:
        return Table(
            torch.from_numpy(parts[name].astype(np.float32, copy=False)).to(device),
            torch.from_numpy(codes[rows[name]]).to(device),
            torch.from_numpy(weight[rows[name]].astype(np.float32)).to(device),
        )

    valid = table("valid") if held_out.any() else None
    return Data(classes, table("train"), valid, mean, scale)


def draw_held_out(
    codes: np.ndarray, fraction: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw a mask of rows to hold out, the same share of every class.

    Rounded down in each class, so that a rare class stays in training whole.
    """
    held_out = np.zeros(len(codes), dtype=bool)
    for code in range(codes.max() + 1):
        rows = np.flatnonzero(codes == code)
        n_out = math.floor(fraction * len(rows))
        held_out[rng.choice(rows, n_out, replace=False)] = True
    return held_out
