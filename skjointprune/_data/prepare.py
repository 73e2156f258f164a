"""Data of a fit: encoded targets and weights, rows held out, scaling."""

import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from .._pruning.gates import InputGates
from .._utils.sklearn import _check_sample_weight
from .readers import slices
from .rows import Rows
from .tables import NUMBERS_AT_ONCE

MOST_TIMES_WEIGHT = 1e30  # the weight of another row: within float32


@dataclass
class Scaling:
    """What was subtracted from each column, and what it was then divided by.

    Both of shape (columns,), or of images (channels, 1, 1), float64.
    """

    mean: Tensor
    scale: Tensor


@dataclass(frozen=True)
class Data:
    """What training needs of X and y.

    `valid` is None where no rows are held out; a scaling is None where there is none.
    Rows lose inputs while a network is trained on them; `view` returns data that do so
    on their own.
    """

    train: Rows
    valid: Rows | None
    scaling: Scaling | None
    target_scaling: Scaling | None
    gates: InputGates

    @property
    def parts(self) -> list[Rows]:
        """The rows to train on, and those that are held out if there are any."""
        return [rows for rows in (self.train, self.valid) if rows is not None]

    def view(self, gates: InputGates | None = None) -> "Data":
        """Return data on the same rows, behind a copy of the gates, or those given."""
        return self._behind(copy.deepcopy(gates or self.gates))

    def ungated(self) -> "Data":
        """Return data on the same rows without gates, whose gradients would cost."""
        return self._behind(InputGates(("channel",), self.gates.shape))

    def _behind(self, gates: InputGates) -> "Data":
        valid = None if self.valid is None else self.valid.behind(gates)
        train = self.train.behind(gates)
        return replace(self, train=train, valid=valid, gates=gates)


@dataclass(frozen=True)
class Preparation:
    """How data are prepared, whatever X is: parameters of an estimator.

    `strata` are codes of rows: about the same share of each is held out. None are the
    codes of classes, where y holds such.
    """

    validation_fraction: float | None
    standardize: bool
    scale_targets: bool
    seed: int
    device: torch.device
    strata: np.ndarray | None = None


@dataclass(frozen=True)
class Split:
    """Rows divided into those to train on and those held out.

    `masks` and `targets` are by the name of the part: "train" and, if rows are held
    out, "valid". `targets` are tensors on the device, (y, weight). `weight` has one
    number for each row, of mean 1 over the rows to train on.
    """

    masks: dict[str, np.ndarray]
    targets: dict[str, tuple[Tensor, Tensor]]
    weight: np.ndarray
    target_scaling: Scaling | None


def check_weight(sample_weight: Any, X: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of rows, and the positions of those that count."""
    if np.asarray(sample_weight).dtype.kind in "US":
        raise ValueError("`sample_weight` must hold numbers. Got text; convert it.")
    n_rows = X.shape[0] if hasattr(X, "shape") else len(X)  # a sparse one has no len
    rows = np.zeros((n_rows, 1))
    weight = _check_sample_weight(sample_weight, rows, ensure_non_negative=True)
    counted = np.flatnonzero(weight > 0)
    if len(counted) and weight.max() > MOST_TIMES_WEIGHT * weight[counted].min():
        raise ValueError(
            f"`sample_weight` must differ by a factor of {MOST_TIMES_WEIGHT:g} at "
            f"most. Got {weight[counted].min():g} and {weight.max():g}; let rows that "
            "do not count have 0."
        )
    if len(counted) < 2:
        raise ValueError(
            "Training needs at least 2 rows of positive weight. Got n_samples="
            f"{len(counted)}; add rows."
        )
    return weight, counted


def split_rows(y: np.ndarray, sample_weight: np.ndarray, how: Preparation) -> Split:
    """Hold rows out, scale targets, and put these and weights on the device.

    A y of integers holds the codes of classes: the same share of each is held out,
    unless there are other strata.
    """
    coded = y.dtype.kind == "i"
    strata = how.strata
    if strata is None:
        strata = y if coded else np.zeros(len(y), dtype=int)
    rng = np.random.default_rng(how.seed)
    held_out = draw_held_out(strata, how.validation_fraction or 0.0, rng)
    held_out &= sample_weight > 0
    weight = sample_weight / sample_weight[~held_out].mean()
    masks = {"train": ~held_out} | ({"valid": held_out} if held_out.any() else {})
    scaling, ys = scale_parts(y, masks, weight, how.scale_targets)

    def on_device(name: str) -> tuple[Tensor, Tensor]:
        codes = ys[name] if coded else ys[name].astype(np.float32)
        weights = weight[masks[name]].astype(np.float32)
        y, w = (torch.from_numpy(a).to(how.device) for a in (codes, weights))
        return y, w

    return Split(masks, {name: on_device(name) for name in masks}, weight, scaling)


def scale_parts(
    values: np.ndarray, masks: dict[str, np.ndarray], weight: np.ndarray, scale: bool
) -> tuple[Scaling | None, dict[str, np.ndarray]]:
    """Divide rows into parts, standardised by those to train on if `scale`.

    Everything that is estimated from data is estimated on the rows to train on.
    """
    parts = {name: values[mask] for name, mask in masks.items()}  # copies
    if not scale:
        return None, parts
    scaling = scaling_of(parts["train"], weight[masks["train"]])
    for part in parts.values():
        part -= scaling.mean.numpy().astype(part.dtype)
        part /= scaling.scale.numpy().astype(part.dtype)
    return scaling, parts


def scaling_of(values: Any, weight: np.ndarray) -> Scaling:
    """Return means and deviations of the columns of an array, or a CSC matrix.

    Some columns are read at a time, as a dense array in order of rows. So memory is
    little for a sparse matrix, and the result is to the last bit that of the array.
    """
    n_rows, n_columns = values.shape
    means, scales = [], []
    for columns in slices(n_columns, max(1, NUMBERS_AT_ONCE // n_rows)):
        part = values[:, columns]
        part = part.toarray("C") if issparse(part) else np.ascontiguousarray(part)
        scaler = StandardScaler(copy=False).fit(part, sample_weight=weight)
        means.append(scaler.mean_)
        scales.append(scaler.scale_)
    mean, scale = (np.concatenate(parts) for parts in (means, scales))
    return Scaling(torch.from_numpy(mean), torch.from_numpy(scale))


def draw_held_out(
    strata: np.ndarray, fraction: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw a mask of rows to hold out, about the same share of every stratum.

    Shares are rounded down. What is missing in all is made up by one more row from each
    of the strata that lack most. At least one row of each stratum stays in training,
    and two rows in all.
    """
    held_out = np.zeros(len(strata), dtype=bool)
    if not fraction:
        return held_out
    counts = np.bincount(strata)
    shares = fraction * counts
    n_out = np.floor(shares).astype(int)
    missing = max(1, int(fraction * len(strata))) - n_out.sum()
    missing = min(missing, len(strata) - n_out.sum() - 2)
    if missing > 0:
        behind = shares - n_out + rng.random(len(counts)) * 1e-6  # ties by chance
        behind[counts < 2] = 0.0
        for code in np.argsort(-behind)[:missing]:
            n_out[code] += behind[code] > 0
    for code, n in enumerate(np.minimum(n_out, np.maximum(counts - 1, 0))):
        rows = np.flatnonzero(strata == code)
        held_out[rng.choice(rows, n, replace=False)] = True
    return held_out
