"""Read images of arrays and datasets, ahead of time where that is asked for."""

import multiprocessing
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from skorch.helper import SliceDataset
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

DATASETS = (Dataset, SliceDataset)  # skorch's can be split into folds by scikit-learn


@dataclass(frozen=True)
class Reader(Dataset):
    """Some images of a source, read by whole batches and augmented one by one.

    `source` is an array, a tensor, (n, channels, height, width), or a dataset that
    returns an image, or a tuple that begins with one; `rows` are positions in it.
    """

    source: Any
    rows: np.ndarray
    transform: Callable[[Tensor], Tensor] | None = None

    def __getitem__(self, index) -> Tensor:
        X = read_images(self.source, self.rows[index])
        if self.transform is None:
            return X
        augmented = [self.transform(image) for image in X]
        for before, after in zip(X, augmented, strict=True):
            if after.shape != before.shape:  # it was right for the one of the check
                raise wrong_transform(before, after)
        return torch.stack(augmented)

    def ahead(
        self, batches: Sequence[Any], num_workers: int, pin: bool = False
    ) -> Iterator[Tensor]:
        """Return batches in their order, read by processes ahead of time.

        Without processes, each is read when it is asked for; also within a process
        that may start none, as those of a `multiprocessing.Pool`.
        """
        num_workers = min(num_workers, len(batches) - 1)
        if num_workers < 1 or multiprocessing.current_process().daemon:
            return map(self.__getitem__, batches)
        # Of all ways to start a process this one alone works within joblib's, copies no
        # images, and takes any `transform`. What is read touches no GPU.
        linux = sys.platform == "linux"
        loader = DataLoader(
            self,
            batch_size=None,
            sampler=batches,
            num_workers=num_workers,
            pin_memory=pin,
            multiprocessing_context="fork" if linux else None,
        )
        # The processes are seeded by a draw: without it here, training is the same.
        with torch.random.fork_rng(devices=[]):
            return iter(loader)


def is_in_memory(source: Any) -> bool:
    """Tell whether images are those of an array or a tensor, as their bytes are."""
    while isinstance(source, Subset):
        source = source.dataset
    return not isinstance(source, DATASETS)


def slices(n: int, size: int) -> list[slice]:
    """Return the first n positions in pieces of a size, the last of what is left."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def read_images(source: Any, rows: np.ndarray) -> Tensor:
    """Return the images at some positions, (n, channels, height, width)."""
    if isinstance(source, Subset):  # read as fast as what it is of
        positions = np.asarray(source.indices)
        return read_images(source.dataset, positions[rows])
    if isinstance(source, DATASETS):
        read = [source[int(i)] for i in np.atleast_1d(rows)]
        parts = [r[0] if isinstance(r, tuple | list) else r for r in read]
        images = [as_tensor(part) for part in parts]
        sizes = {tuple(image.shape) for image in images}
        if len(sizes) > 1:
            raise ValueError(
                f"A dataset must return images of one size. Got {sorted(sizes)[:2]}; "
                "resize them in the dataset, or convert them to as many channels."
            )
        return torch.stack(images)
    if isinstance(source, Tensor):
        return source[torch.from_numpy(rows)]
    return from_array(source[rows])


def from_array(array: np.ndarray) -> Tensor:
    """Return a tensor of an array, whatever its strides and its order of bytes."""
    native = array.dtype.newbyteorder("=")
    return torch.from_numpy(np.ascontiguousarray(array, dtype=native))


def as_tensor(image: Any) -> Tensor:
    """Return one image, channels first, from a tensor, an array or a PIL image."""
    if isinstance(image, Tensor):
        return image
    if isinstance(image, np.ndarray):
        return from_array(image)
    array = np.array(image)  # PIL: height, width and, of colours, channels
    return from_array(array[None] if array.ndim == 2 else np.moveaxis(array, 2, 0))


def check_finite(X: Tensor, positions: np.ndarray) -> None:
    """Raise ValueError where images, of some positions, hold what is no number."""
    finite = X.isfinite().flatten(1).all(dim=1)
    if not finite.all():
        at = positions[int(finite.int().argmin())]
        raise ValueError(
            f"X must hold finite numbers. Got NaN or infinity in image {at}; replace "
            "these in X, or in the dataset."
        )


def wrong_transform(before: Tensor, after: Any) -> ValueError:
    """Return the error for a transform that makes other images than it is given."""
    return ValueError(
        "`images__transform` must return images of the shape and range of X, which are "
        f"predicted as they are. Got {describe(after)} for {describe(before)}; leave "
        "out what resizes, scales or converts them."
    )


def describe(image: Any) -> str:
    """Return what an image, or several, is called in errors."""
    if not isinstance(image, Tensor):
        return type(image).__name__
    largest = float(image.double().max())
    return f"{image.dtype} of shape {tuple(image.shape)}, up to {largest:.3g}"
