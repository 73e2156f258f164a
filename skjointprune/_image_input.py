"""Images as X: what scikit-learn would check of a table, and what is asked of them."""

from typing import Any

import numpy as np
from sklearn.utils.validation import check_X_y, validate_data
from torch.utils.data import Dataset, Subset

from ._context import warn_caller
from ._data import Data, prepare_images
from ._images import DEFAULT_KINDS, KINDS, InputGates
from ._reading import as_tensor
from ._sklearn import _safe_indexing


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
        if isinstance(X, Dataset):
            shape = check_dataset(X)
            y = targets_of(X, y)
            self.n_features_in_ = shape[0]
            if hasattr(self, "feature_names_in_"):
                del self.feature_names_in_
        else:
            X = validate_data(self, X, dtype=None, allow_nd=True)
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
        return prepare_images(
            X,
            np.flatnonzero(counted),
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
        if isinstance(X, Dataset):
            shape = check_dataset(X)
        else:
            X = validate_data(self, X, dtype=None, allow_nd=True, reset=False)
            shape = check_image_array(X)
        if shape != self.input_shape_:
            raise ValueError(
                f"X must hold images of shape {self.input_shape_}, as in `fit`. Got "
                f"{shape}; give whole images, which are cropped here."
            )
        return X


def is_images(X: Any) -> bool:
    """Tell whether X is a dataset, or has a dimension more than rows of a table."""
    return isinstance(X, Dataset) or getattr(X, "ndim", 2) == 4


def take(X: Any, rows: np.ndarray) -> Any:
    """Return some rows of X; those of images are not copied."""
    return Subset(X, rows.tolist()) if is_images(X) else _safe_indexing(X, rows)


def resolve_kinds(input_groups: Any) -> tuple[str, ...]:
    """Return the kinds of groups that may go.

    Raises
    ------
    ValueError
        If there is none, one is unknown, or "feature" is beside another.
    """
    if input_groups is None:
        return DEFAULT_KINDS
    kinds = (input_groups,) if isinstance(input_groups, str) else tuple(input_groups)
    if not kinds or not set(kinds) <= set(KINDS) or len(set(kinds)) < len(kinds):
        raise ValueError(
            f"`input_groups` must name some of {KINDS}, each once. Got "
            f"{input_groups!r}; 'row' alone, or ('row', 'column'), for example."
        )
    if "feature" in kinds and len(kinds) > 1:
        raise ValueError(
            f"'feature' is each number of an image alone. Got `input_groups`="
            f"{input_groups!r}; leave the others out."
        )
    return kinds


def check_image_array(X: np.ndarray) -> tuple[int, ...]:
    """Return the shape of one image of an array.

    Raises
    ------
    ValueError
        If it is not (n, channels, height, width) of numbers.
    """
    if X.ndim != 4 or X.dtype.kind not in "uif":
        raise ValueError(
            "X must hold images, (n, channels, height, width), of uint8 or floats. Got "
            f"an array of {X.dtype} and shape {X.shape}; move the axes, or pass a "
            "table of 2 dimensions."
        )
    return X.shape[1:]


def warn_of_channels_last(shape: tuple[int, ...]) -> None:
    """Warn if images look as most libraries other than torch have them."""
    first, height, width = shape
    if first > 4 and (width in (3, 4) or (width == 1 and first == height)):
        warn_caller(
            f"The images of X have {first} channels of {height} x {width} pixels, as "
            "if the channels came last. If so, move them to the front: "
            "numpy.moveaxis(X, 3, 1)."
        )


def check_dataset(dataset: Dataset) -> tuple[int, ...]:
    """Return the shape of one image of a dataset.

    Raises
    ------
    ValueError
        If it holds no images, (channels, height, width).
    """
    first = dataset[0]
    image = as_tensor(first[0] if isinstance(first, tuple | list) else first)
    if image.ndim != 3:
        raise ValueError(
            "A dataset must return images, (channels, height, width), or tuples that "
            f"begin with one. Got one of shape {tuple(image.shape)} at 0; reshape it "
            "in the dataset."
        )
    return tuple(image.shape)


def targets_of(X: Any, y: Any) -> Any:
    """Return y, or where it is None the labels of a dataset."""
    return labels_of(X) if y is None and isinstance(X, Dataset) else y


def labels_of(dataset: Dataset) -> np.ndarray:
    """Return the labels of a dataset; where it does not list them, all is read once.

    Raises
    ------
    ValueError
        If it has none.
    """
    for name in ("targets", "labels"):
        if hasattr(dataset, name):
            return np.asarray(getattr(dataset, name))
    first = dataset[0]
    if not (isinstance(first, tuple | list) and len(first) > 1):
        raise ValueError(
            f"The dataset {type(dataset).__name__} has no labels, and y is None. "
            "Pass y, or let the dataset return tuples (image, label)."
        )
    n = len(dataset)  # type: ignore[arg-type]
    return np.asarray([dataset[i][1] for i in range(n)])
