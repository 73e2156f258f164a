"""Images as X: what scikit-learn would check of a table."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from .._pruning.gates import DEFAULT_KINDS, KINDS
from .._utils.warn import warn_caller
from .readers import DATASETS, as_tensor


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
