"""Images as X: what scikit-learn would check of a table, and what is asked of them."""

from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_X_y, validate_data
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from .._utils.context import warn_caller
from .prepare import Data, prepare_images
from .images import DEFAULT_KINDS, KINDS, InputGates
from .readers import DATASETS, as_tensor, read_images
from .._utils.sklearn import _safe_indexing

LOOKED_AT = 16  # items of a dataset, to see whether its list of labels is of these


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


def is_images(X: Any) -> bool:
    """Tell whether X is a dataset, or has a dimension more than rows of a table."""
    return isinstance(X, DATASETS) or getattr(X, "ndim", 2) == 4


def refuse_what_is_nearly_images(X: Any) -> None:
    """Raise ValueError for a list of images, a loader, images without channels."""
    if isinstance(X, DataLoader):
        raise ValueError(
            "X must be an array or a dataset, which is read in batches here. Got a "
            f"{type(X).__name__}; pass its dataset, `loader.dataset`."
        )
    first = X[0] if isinstance(X, list | tuple) and len(X) else X
    if getattr(first, "ndim", 2) == 3:
        several = first is not X
        raise ValueError(
            "X must be a table, (n, columns), or images, (n, channels, height, width). "
            f"Got {'a list of arrays' if several else 'an array'} of shape "
            f"{tuple(first.shape)}; "
            + ("stack them." if several else "for images without colours, X[:, None].")
        )


def as_array(X: Any) -> Any:
    """Return a tensor as numpy takes it; what is none as it is."""
    if not isinstance(X, Tensor):
        return X
    X = X.detach().cpu()
    return X.float() if X.dtype == torch.bfloat16 else X


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
    if X.dtype.kind not in "uif":
        raise ValueError(
            f"X must hold images of uint8 or floats. Got an array of {X.dtype}; "
            'convert it, as X.astype("uint8").'
        )
    if X.ndim != 4 or 0 in X.shape:
        raise ValueError(
            "X must hold images, (n, channels, height, width). Got an array of shape "
            f"{X.shape}; move the axes, or pass a table of 2 dimensions."
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
    if isinstance(dataset, IterableDataset):
        raise ValueError(
            "A dataset must be indexed, as each image is read again in each epoch. Got "
            f"the IterableDataset {type(dataset).__name__}; give one with __getitem__."
        )
    if not len(dataset):  # type: ignore[arg-type]
        raise ValueError(
            f"A dataset must hold images. Got the {type(dataset).__name__} of length "
            "0; look where it reads its files."
        )
    first = dataset[0]
    image = first[0] if isinstance(first, tuple | list) else first
    what = type(image).__name__
    try:
        image = as_tensor(image)
        what = f"one of shape {tuple(image.shape)}"
    except Exception:  # what is no image, whatever numpy makes of it
        pass
    if not isinstance(image, Tensor) or image.ndim != 3:
        raise ValueError(
            "A dataset must return images, (channels, height, width), or tuples that "
            f"begin with one. Got {what} at 0; reshape it in the dataset."
        )
    return tuple(image.shape)


def targets_of(X: Any, y: Any) -> Any:
    """Return y, or where it is None the labels of a dataset."""
    return labels_of(X) if y is None and isinstance(X, DATASETS) else y


def labels_of(dataset: Dataset) -> np.ndarray:
    """Return the labels of a dataset; where it does not list them, all is read once.

    Raises
    ------
    ValueError
        If it has none.
    """
    n = len(dataset)  # type: ignore[arg-type]
    first = dataset[0]
    paired = isinstance(first, tuple | list) and len(first) > 1
    for name in ("targets", "labels"):
        listed = np.asarray(getattr(dataset, name, None))
        if listed.shape[:1] != (n,):  # of something else
            continue
        some = range(0, n, -(-n // LOOKED_AT))
        # a dataset may return others, as with a `target_transform`
        if not paired or all(np.array_equal(dataset[i][1], listed[i]) for i in some):
            return listed
    if not paired:
        raise ValueError(
            f"The dataset {type(dataset).__name__} has no labels, and y is None. "
            "Pass y, or let the dataset return tuples (image, label)."
        )
    return np.asarray([dataset[i][1] for i in range(n)])
