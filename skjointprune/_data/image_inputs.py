"""Images as X: what scikit-learn would check of a table, and what is asked of them."""

from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_X_y, validate_data
from torch import Tensor

from .._pruning.gates import InputGates
from .check_images import (
    as_array,
    check_dataset,
    check_image_array,
    resolve_kinds,
    warn_of_channels_last,
)
from .prepare import Data, prepare_images
from .readers import DATASETS, read_images
from .targets import targets_of


class ImageInput:
    """The part of an estimator that takes images."""

    # of the estimator
    input_groups: Any
    patch_size: int
    prune: str
    train_transform: Any
    transform_batches: bool
    num_workers: int
    n_features_to_select: Any
    validation_fraction: Any
    standardize: bool
    input_shape_: tuple[int, ...]
    n_features_in_: int
    feature_names_in_: np.ndarray
    _y_numeric: bool
    _n_counted: int
    _n_inputs: Any
    _encode: Any
    _check_for: Any
    _check_weight: Any
    _check_inputs_may_go: Any

    def _validate_images(self, X, y, sample_weight, seed: int, device) -> Data:
        """Do as `_validate` with images, which are read later, batch by batch."""
        if isinstance(X, DATASETS):
            shape = check_dataset(X)
            y = targets_of(X, y)
            self.n_features_in_ = shape[0]
            if hasattr(self, "feature_names_in_"):
                del self.feature_names_in_
        else:
            X = validate_data(self, as_array(X), dtype=None, allow_nd=True)
            shape = check_image_array(X)
        warn_of_channels_last(shape)
        self.input_shape_ = shape
        self._check_for("tables", feature_groups=None, feature_costs=None)
        rows = np.zeros((len(X), 1))
        _, y = check_X_y(rows, y, multi_output=True, y_numeric=self._y_numeric)
        weight, counted = self._check_weight(sample_weight, rows)
        kinds = resolve_kinds(self.input_groups)
        if self.prune in ("weights", "none"):
            kinds = ("channel",)  # no gates: their gradients cost time
        gates = InputGates(kinds, shape, self.patch_size, device)
        self._check_images_asked_for(gates)
        targets, weight = self._encode(y[counted], weight[counted])
        at = np.flatnonzero(counted)
        if self.train_transform is not None:
            self._check_transform(read_images(X, at[:2]).to(device))
        return prepare_images(
            X,
            at,
            targets,
            weight,
            gates=gates,
            transform=self.train_transform,
            transform_batches=self.transform_batches,
            num_workers=self.num_workers,
            validation_fraction=self.validation_fraction,
            standardize=self.standardize,
            scale_targets=self._y_numeric,
            seed=seed,
            device=device,
        )

    def _check_transform(self, X: Tensor) -> None:
        """Refuse a `train_transform` that does not give such images as it is given."""
        with torch.random.fork_rng(devices=[X.device] if X.is_cuda else []):
            before = X if self.transform_batches else X[0].cpu()
            try:
                after = self.train_transform(before.clone())
            except Exception as error:
                raise ValueError(
                    f"`train_transform` raises {type(error).__name__} ({error}) for "
                    f"{_in_words(before)}. Let it take such tensors: what makes "
                    "tensors of images is for the dataset."
                ) from error
        if isinstance(after, Tensor) and after.shape == before.shape:
            of_numbers = not before.is_floating_point() and after.is_floating_point()
            if not (of_numbers and before.max() > 1 >= after.max()):
                return
        raise ValueError(
            "`train_transform` must return images of the shape and range of X, which "
            f"are predicted as they are. Got {_in_words(after)} for "
            f"{_in_words(before)}; leave out what resizes, scales or converts them."
        )

    def _check_images_asked_for(self, gates: InputGates) -> None:
        asked = self.n_features_to_select
        sizes = [c.size for c in gates.channels]
        sizes = [self.n_features_in_] * gates.with_channels + sizes
        self._n_counted = sizes[0]
        if asked is not None and len(sizes) > 1:
            raise ValueError(
                f"`n_features_to_select`={asked} needs one kind of group to count. Got "
                f"`input_groups`={self.input_groups!r}; name one, such as 'row'."
            )
        if (self._n_inputs() or 0) > sizes[0]:
            raise ValueError(
                f"`n_features_to_select` must be at most the {sizes[0]} groups of X. "
                f"Got {asked}; lower it or pass a fraction."
            )
        self._check_inputs_may_go()

    def _check_images(self, X):
        """Validate images as in `fit`, without a copy."""
        if isinstance(X, DATASETS):
            shape = check_dataset(X)
        elif getattr(X, "ndim", 4) != 4:
            shape = X.shape[1:]
        else:
            X = as_array(X)
            X = validate_data(self, X, dtype=None, allow_nd=True, reset=False)
            shape = check_image_array(X)
        if shape != self.input_shape_:
            raise ValueError(
                f"X must hold images of shape {self.input_shape_}, as in `fit`. Got "
                f"{shape}; give whole images, which are cropped here."
            )
        return X


def _in_words(image: Any) -> str:
    if not isinstance(image, Tensor):
        return type(image).__name__
    largest = float(image.double().max())
    return f"{image.dtype} of shape {tuple(image.shape)}, up to {largest:.3g},"
