"""Encoded arrays to tensors: hold out, standardise, put on a device."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from .._pruning.gates import InputGates
from .images import Images, channel_statistics
from .tables import Table


@dataclass
class Scaling:
    """What was subtracted from each column, and what it was then divided by.

    Both of shape (columns,), or of images (channels, 1, 1), float64.
    """

    mean: Tensor
    scale: Tensor


@dataclass
class Data:
    """What training needs of X and y.

    `valid` is None where no rows are held out; a scaling is None where there is none.
    """

    train: Table | Images
    valid: Table | Images | None
    scaling: Scaling | None
    target_scaling: Scaling | None
    gates: InputGates

    @property
    def tables(self) -> list:
        """The tables there are."""
        return [t for t in (self.train, self.valid) if t is not None]

    def view(self, gates: InputGates | None = None) -> "Data":
        """Return data on the same rows whose inputs can be dropped on their own.

        They are behind a copy of the gates, or of those given.
        """
        return self._behind(copy.deepcopy(gates or self.gates))

    def ungated(self) -> "Data":
        """Return data on the same rows without gates, whose gradients would cost."""
        return self._behind(InputGates(("channel",), self.gates.shape))

    def _behind(self, gates: InputGates) -> "Data":
        valid = None if self.valid is None else copy.copy(self.valid)
        view = replace(self, train=copy.copy(self.train), valid=valid, gates=gates)
        for table in view.tables:
            table.gates = gates
        return view


def prepare_images(
    source: Any,
    rows: np.ndarray,
    y: np.ndarray,
    sample_weight: np.ndarray,
    *,
    gates: InputGates,
    transform: Callable[[Tensor], Tensor] | None,
    transform_batches: bool,
    num_workers: int,
    validation_fraction: float | None,
    standardize: bool,
    scale_targets: bool,
    seed: int,
    device: torch.device,
) -> Data:
    """Do as `prepare` with images, of which `rows` are used, and read none yet.

    But for their mean and standard deviation, if they are standardised.
    """
    held_out, weight = _hold_out(y, sample_weight, validation_fraction, seed)
    parts = {"train": ~held_out, "valid": held_out}
    target_scaling, ys = _scale(y, parts, weight, scale_targets)

    def images(name: str, **augmentation) -> Images:
        at = parts[name]
        targets, w = _on_device(y, ys[name], weight[at], device)
        return Images(
            source, rows[at], targets, w, num_workers=num_workers, **augmentation
        )

    train = images("train", transform=transform, transform_batches=transform_batches)
    valid = images("valid") if held_out.any() else None
    scaling = None
    if standardize:
        mean, scale = channel_statistics(train)
        scaling = Scaling(*(torch.from_numpy(s)[:, None, None] for s in (mean, scale)))
    data = Data(train, valid, scaling, target_scaling, gates)
    for table in data.tables:
        table.gates = gates
        if scaling is not None:
            table.mean, table.scale = (
                s.to(device, torch.float32) for s in (scaling.mean, scaling.scale)
            )
    return data


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
    held_out, weight = _hold_out(y, sample_weight, validation_fraction, seed)
    rows = {"train": ~held_out, "valid": held_out}
    scaling, Xs = _scale(X, rows, weight, standardize)
    target_scaling, ys = _scale(y, rows, weight, scale_targets)

    def table(name: str) -> Table:
        X = torch.from_numpy(Xs[name].astype(np.float32, copy=False)).to(device)
        return Table(X, *_on_device(y, ys[name], weight[rows[name]], device))

    valid = table("valid") if held_out.any() else None
    gates = InputGates(("channel",), X.shape[1:])
    return Data(table("train"), valid, scaling, target_scaling, gates)


def _hold_out(
    y: np.ndarray, sample_weight: np.ndarray, fraction: float | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return which rows are held out, and weights of mean 1 over the others."""
    rng = np.random.default_rng(seed)
    strata = y if y.dtype.kind == "i" else np.zeros(len(y), dtype=int)
    held_out = draw_held_out(strata, fraction or 0.0, rng)
    held_out &= sample_weight > 0
    return held_out, sample_weight / sample_weight[~held_out].mean()


def _on_device(
    y: np.ndarray, part: np.ndarray, weight: np.ndarray, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return targets, the codes of classes as they are, and weights as tensors."""
    targets = part if y.dtype.kind == "i" else part.astype(np.float32)
    w = torch.from_numpy(weight.astype(np.float32)).to(device)
    return torch.from_numpy(targets).to(device), w


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
