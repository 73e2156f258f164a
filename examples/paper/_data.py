"""Readers of the image data: one uint8 array of images for training, one for testing.

Of each data set only the images asked for are decoded. Nothing is downloaded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image  # torchvision brings it, and deprecates its own decoder
from sklearn.model_selection import train_test_split
from torchvision import datasets

CALTECH_TRAIN = 30  # images a class, which is all that is customary to train on
CALTECH_SIZE = 128, 128  # to which images of torchvision's folder are resized


class Split(NamedTuple):
    """Images, (n, channels, height, width), uint8, with labels; and how many there are.

    ``n_train`` and ``n_test`` count the whole data set, where these are a slice of it.
    """

    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    n_train: int
    n_test: int

    def smaller(self, factor):
        """Return the same with images whose pixels are means of squares of pixels."""
        return self._replace(
            X_train=_shrunk(self.X_train, factor), X_test=_shrunk(self.X_test, factor)
        )

    def flat(self):
        """Return the same with rows of numbers for images, as an MLP takes them."""
        return self._replace(
            X_train=self.X_train.reshape(len(self.X_train), -1),
            X_test=self.X_test.reshape(len(self.X_test), -1),
        )


def _shrunk(X, factor):
    n, channels, height, width = X.shape
    shape = n, channels, height // factor, factor, width // factor, factor
    return X.reshape(shape).mean(axis=(3, 5), dtype=np.float32).round().astype(np.uint8)


@dataclass
class Part:
    """Labels, and images that ``read`` returns for some positions."""

    y: np.ndarray
    read: Callable[[np.ndarray], np.ndarray]

    def __len__(self):
        return len(self.y)


def load(name, folder, train_rows=None, test_rows=None):
    """Load one of `DATASETS`, or a slice: the same images at every call.

    Of the training images it is `train_rows`, stratified; of the test images any
    `test_rows`. Raises FileNotFoundError where the folder has no such data.
    """
    train, test = DATASETS[name](Path(folder))
    rows = np.arange(len(train))
    if train_rows is not None and train_rows < len(train):
        rows, _ = train_test_split(
            rows, train_size=train_rows, stratify=train.y, random_state=0
        )
    test_at = np.random.default_rng(0).permutation(len(test))[:test_rows]
    return Split(
        train.read(rows),
        train.y[rows],
        test.read(test_at),
        test.y[test_at],
        len(train),
        len(test),
    )


def _mnist(folder):
    path = folder / "mnist.npz"
    if not path.is_file():
        return _torchvision(datasets.MNIST, folder, packed=path.name)
    with np.load(path) as file:
        return tuple(
            _array(file[f"x_{part}"][:, None], file[f"y_{part}"])
            for part in ("train", "test")
        )


def _cifar10(folder):
    path = folder / "cifar10.npz"
    if path.is_file():
        with np.load(path) as file:
            return tuple(
                _array(_channels_first(file[f"x_{part}"]), file[f"y_{part}"])
                for part in ("train", "test")
            )
    path = folder / "cifar10_jpeg.npz"
    if not path.is_file():
        return _torchvision(datasets.CIFAR10, folder, packed=path.name)
    with np.load(path) as file:
        return tuple(
            _packed(file[f"jpeg_{part}"], file[f"offsets_{part}"], file[f"y_{part}"])
            for part in ("train", "test")
        )


def _cifar100(folder):
    return _torchvision(datasets.CIFAR100, folder)


def _caltech101(folder):
    path = folder / "caltech101_128_jpeg.npz"
    if path.is_file():
        with np.load(path) as file:
            whole = _packed(file["jpeg"], file["offsets"], file["y"])
    else:
        whole = _caltech101_folder(folder, packed=path.name)
    rng = np.random.default_rng(0)
    in_train = np.zeros(len(whole), dtype=bool)
    for label in np.unique(whole.y):
        in_train[rng.permutation(np.flatnonzero(whole.y == label))[:CALTECH_TRAIN]] = 1
    return tuple(_some(whole, np.flatnonzero(at)) for at in (in_train, ~in_train))


def _caltech101_folder(folder, packed):
    if not (folder / "caltech101").is_dir():  # torchvision would make one
        raise _not_there(datasets.Caltech101, folder, packed)
    whole = _opened(datasets.Caltech101, folder, packed)

    def image(i):
        picture, _ = whole[i]
        resized = picture.convert("RGB").resize(CALTECH_SIZE, Image.Resampling.BILINEAR)
        return np.asarray(resized).transpose(2, 0, 1)

    return _one_by_one(image, np.asarray(whole.y))


def _torchvision(dataset: Any, folder, packed=None):
    """Read one of torchvision's data sets from where torchvision has put it."""
    both = [_opened(dataset, folder, packed, train=train) for train in (True, False)]
    return tuple(_array(_channels_first(one.data), one.targets) for one in both)


def _opened(dataset: Any, folder, packed, **which):
    try:
        return dataset(folder, download=False, **which)
    except RuntimeError:  # what torchvision raises for files that are not there
        raise _not_there(dataset, folder, packed) from None


def _not_there(dataset: Any, folder, packed):
    files = f"no {packed} and " if packed else ""
    return FileNotFoundError(
        f"{str(folder)!r} has {files}no folder of torchvision's {dataset.__name__}"
    )


def _channels_first(X):
    X = np.asarray(X)
    return X[:, None] if X.ndim == 3 else X.transpose(0, 3, 1, 2)


def _array(X, y):
    return Part(np.asarray(y, np.int64), lambda rows: np.ascontiguousarray(X[rows]))


def _packed(jpeg, offsets, y):
    """Read JPEG files that lie one after another in an array of bytes."""

    def image(i):
        file = BytesIO(jpeg[offsets[i] : offsets[i + 1]].tobytes())
        return np.asarray(Image.open(file).convert("RGB")).transpose(2, 0, 1)

    return _one_by_one(image, y)


def _one_by_one(image, y):
    """Read images that a function returns one at a time, all of one shape."""

    def read(rows):
        X = np.empty((len(rows), *image(rows[0]).shape), np.uint8)
        for i, row in enumerate(rows):
            X[i] = image(row)
        return X

    return Part(y.astype(np.int64), read)


def _some(part, kept):
    return Part(part.y[kept], lambda rows: part.read(kept[rows]))


# name: reader, given the folder. All but CIFAR-100 are packed files, or else what
# torchvision's own data sets have written there, as CIFAR-100 is.
DATASETS = {
    "MNIST": _mnist,
    "CIFAR-10": _cifar10,
    "CIFAR-100": _cifar100,
    "Caltech-101": _caltech101,
}
