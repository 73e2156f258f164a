"""Checks of images: what scikit-learn checks of a table."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from skorch.helper import SliceDataset
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from .._utils.warn import warn_caller
from .readers import DATASETS, as_tensor, describe, wrong_transform


def is_images(X: Any) -> bool:
    """Tell whether X is a dataset, or has a dimension more than rows of a table."""
    if isinstance(X, SliceDataset):  # of skorch: also of rows
        return len(X) == 0 or getattr(X[0], "ndim", 3) > 1
    return isinstance(X, DATASETS) or getattr(X, "ndim", 2) == 4


def refuse_images(X: Any, what: str) -> None:
    """Raise ValueError where X holds images and must be a table."""
    if is_images(X):
        raise ValueError(
            f"{what} takes a table, (n, columns). Got images, a {type(X).__name__}; "
            "make columns of them, as X.reshape(len(X), -1)."
        )


def refuse_what_is_nearly_images(X: Any) -> None:
    """Raise ValueError for a loader, and for lists or arrays of other dimensions."""
    if isinstance(X, DataLoader):
        raise ValueError(
            "X must be an array or a dataset, which is read in batches here. Got a "
            f"{type(X).__name__}; pass its dataset, `loader.dataset`."
        )
    n = _n_dimensions(X)
    if n <= 2:
        return
    if not hasattr(X, "ndim"):
        remedy = "make one array of it"
    elif n == 3:
        remedy = "for images without colours, X[:, None]"
    else:
        remedy = "reshape it"
    raise ValueError(
        "X must be a table, (n, columns), or images, (n, channels, height, width). Got "
        f"{n} dimensions, of type {type(X).__name__}; {remedy}."
    )


def _n_dimensions(X: Any) -> int:
    """Return how many dimensions an array has, or lists of lists, or of arrays."""
    n = 0
    while isinstance(X, list | tuple) and X:
        X, n = X[0], n + 1
    return n + getattr(X, "ndim", 0)


def as_array(X: Any) -> Any:
    """Return a tensor in a form that numpy takes, and anything else as it is."""
    if not isinstance(X, Tensor):
        return X
    X = X.detach().cpu()
    return X.float() if X.dtype == torch.bfloat16 else X


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
            "A dataset must return images, (channels, height, width), or rows of a "
            f"table, (columns,), or tuples that begin with one. Got {what} at 0; "
            "change what it returns."
        )
    return tuple(image.shape)


def check_transform(transform: Callable, X: Tensor, *, in_batches: bool) -> None:
    """Check that a transform gives such images as it is given, on a few of X.

    Raises
    ------
    ValueError
        If it fails, or gives something else.
    """
    with torch.random.fork_rng(devices=[X.device] if X.is_cuda else []):
        before = X if in_batches else X[0].cpu()
        try:
            after = transform(before.clone())
        except Exception as error:
            raise ValueError(
                f"`images__transform` raises {type(error).__name__} ({error}) for "
                f"{describe(before)}. Let it take such tensors: what makes tensors of "
                "images is for the dataset."
            ) from error
    if isinstance(after, Tensor) and after.shape == before.shape:
        of_numbers = not before.is_floating_point() and after.is_floating_point()
        if not (of_numbers and before.max() > 1 >= after.max()):
            return
    raise wrong_transform(before, after)
