"""Images as inputs: read batch by batch, with gates on rows, columns or pixels.

An image loses channels as a table loses columns: exactly, at once. Rows and columns
of pixels are different, as what remains gets other neighbours. While a network is
sparsified they have a gate each, a factor that is 1 or 0; afterwards the images are
cropped, and retraining adapts: see `_crop.py`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from .._pruning.gates import InputGates
from .readers import Reader, check_finite, slices


class Images(Dataset):
    """Some of the images of an array or a dataset, with targets and weights.

    Indexed by whole batches, which are read, augmented, put on the device, cropped and
    standardised one at a time; nothing is copied whole.

    Parameters
    ----------
    source : ndarray, Tensor or torch Dataset
        (n, channels, height, width), of uint8 or floats; a dataset returns an image,
        or a tuple that begins with one.
    rows : ndarray of int
        Which of its images these are.
    y, weight : Tensor
        Of each of these, on the device.
    transform : callable or None
        Given one image as a tensor, returns another of the same shape.
    transform_batches : bool
        Whether it is given all images of a batch, on the device.
    num_workers : int
        Processes that read images, and augment them one by one, ahead of time.
    """

    batch_size_to_score = 512

    def __init__(
        self,
        source: Any,
        rows: np.ndarray,
        y: Tensor,
        weight: Tensor,
        transform: Callable[[Tensor], Tensor] | None = None,
        transform_batches: bool = False,
        num_workers: int = 0,
    ):
        of_images, of_batches = transform, None
        if transform_batches:
            of_images, of_batches = None, transform
        self.reader = Reader(source, rows, of_images)
        self.augment = of_batches
        self.y, self.weight = y, weight
        self.num_workers = num_workers
        # its outputs, (rows, outputs), or where images are augmented what gives them
        self.teacher: Tensor | Callable[[Tensor], Tensor] | None = None
        self.gates: InputGates | None = None
        self.mean: Tensor | None = None  # of each channel, (channels, 1, 1)
        self.scale: Tensor | None = None
        self.kept: list[Tensor | None] = [None, None, None]  # channels, rows, columns
        self.mask: Tensor | None = None  # of what is left, (channels, height, width)

    def __len__(self) -> int:
        return len(self.reader.rows)

    def __getitem__(self, index):
        return self._with_targets(self.reader[index], index)

    def batches(self, at: Sequence[Any], taught: bool = False) -> Iterator[Any]:
        """Return batches of some positions each; with the outputs of the teacher."""
        finish = self._with_teacher if taught else self._with_targets
        on_gpu = self.y.device.type == "cuda"
        read = self.reader.ahead(at, self.num_workers, pin=on_gpu)
        return (finish(X, index) for X, index in zip(read, at, strict=True))

    @property
    def augmented(self) -> bool:
        """Whether images are others each time."""
        return self.augment is not None or self.reader.transform is not None

    def _with_targets(self, X: Tensor, index):
        return self._left(self._whole(X)), (self.y[index], self.weight[index])

    def _with_teacher(self, X: Tensor, index):
        """Let the teacher see the whole images."""
        X = self._whole(X)
        teacher = self.teacher
        assert teacher is not None
        # a copy, as the code may change what it is given
        outputs = teacher[index] if isinstance(teacher, Tensor) else teacher(X.clone())
        return self._left(X), (self.y[index], self.weight[index], outputs)

    def _whole(self, X: Tensor) -> Tensor:
        """Put images on the device, augmented and standardised."""
        device = self.y.device
        on_gpu = device.type == "cuda"
        if on_gpu:
            X = X.pin_memory().to(device, non_blocking=True)
        if self.augment is not None:
            X = self.augment(X)
        layout = torch.channels_last if on_gpu else torch.preserve_format
        X = X.to(torch.float32, memory_format=layout)
        if self.mean is not None and self.scale is not None:
            X = (X - self.mean) / self.scale
        return X

    def _left(self, X: Tensor) -> Tensor:
        """Take what is left of whole images."""
        if self.gates is not None:
            X = self.gates.apply(X)
        for dim, kept in enumerate(self.kept, start=1):
            if kept is not None:
                X = X.index_select(dim, kept)
        return X if self.mask is None else X * self.mask

    def keep_inputs(self, kept: Tensor, dim: int = 1) -> None:
        """Keep some of the present channels (rows, columns for `dim` 2, 3)."""
        kept = kept.to(self.y.device)
        before = self.kept[dim - 1]
        self.kept = list(self.kept)  # a view has its own
        self.kept[dim - 1] = kept if before is None else before[kept]


def channel_statistics(images: Images) -> tuple[np.ndarray, np.ndarray]:
    """Return the weighted mean and standard deviation of each channel, float64."""
    total = 0.0
    first, second = torch.zeros(2, 1, dtype=torch.float64)
    at = slices(len(images), images.batch_size_to_score)
    read = replace(images.reader, transform=None).ahead(at, images.num_workers)
    for X, rows in zip(read, at, strict=True):
        check_finite(X)
        X, w = X.double(), images.weight[rows].double().cpu()
        first = first + torch.einsum("n,nchw->c", w, X)
        second = second + torch.einsum("n,nchw->c", w, X * X)
        total += float(w.sum()) * X[0, 0].numel()
    mean = first / total
    scale = (second / total - mean**2).clamp(min=0).sqrt()
    scale[scale <= 1e-9 * mean.abs().clamp(min=1)] = 1.0  # of a constant channel
    return mean.numpy(), scale.numpy()
