"""Images that are read batch by batch, which lose channels and are cropped."""

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._pruning.gates import InputGates
from .readers import Reader, check_finite, is_in_memory, slices, wrong_transform
from .rows import Outputs, Rows, batches_in_order, to_device

# of the free memory of a GPU, for images: a network needs the rest
SHARE_FOR_IMAGES = 0.5


class Images(Rows):
    """Some of the images of an array or a dataset, with targets and weights.

    Batches are read, put on the device, augmented, standardised and cropped one at a
    time. Nothing is copied whole, except by `put_on_device`.

    Parameters
    ----------
    source : ndarray, Tensor or torch Dataset
        (n, channels, height, width), of uint8 or floats; a dataset returns an image,
        or a tuple that begins with one.
    rows : ndarray of int
        Which of its images these are.
    y, weight : Tensor
        Target and weight of each of these, on the device.
    transform : callable or None
        Given one image as a tensor, returns another of the same shape.
    transform_batches : bool
        Whether it is given all images of a batch, on the device.
    num_workers : int
        Processes that read images, and augment them one by one, ahead of time.
    gates : InputGates or None
        What is before the images, until they are cropped.
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
        gates: InputGates | None = None,
    ):
        of_images, of_batches = transform, None
        if transform_batches:
            of_images, of_batches = None, transform
        self.reader = Reader(source, rows, of_images)
        self.augment = of_batches
        self.y, self.weight = y, weight
        self.num_workers = num_workers
        self.gates = gates
        self.mean: Tensor | None = None  # of each channel, (channels, 1, 1)
        self.scale: Tensor | None = None
        self.kept: list[Tensor | None] = [None, None, None]  # channels, rows, columns
        self.on_device: Tensor | None = None  # all images, as they were read
        self.mask: Tensor | None = None  # of what is left, (channels, height, width)

    def __len__(self) -> int:
        return len(self.reader.rows)

    @property
    def can_be_on_device(self) -> bool:
        """Whether no image has to be read, or augmented, by the host."""
        plain = self.reader.transform is None and not self.num_workers
        if not (plain and is_in_memory(self.reader.source)):
            return False
        dtype = self.reader[:1].dtype  # others have no indexing on some devices
        return dtype == torch.uint8 or dtype.is_floating_point

    @property
    def n_bytes(self) -> int:
        """How many bytes all images have, of the type they have."""
        return len(self) * self.reader[:1].nbytes

    def put_on_device(self) -> None:
        """Copy all images to the device, of the type they have, and read them there."""
        first = self.reader[:1]
        on_device = first.new_empty((len(self), *first.shape[1:]), device=self.y.device)
        for rows in slices(len(self), self.batch_size_to_score):
            on_device[rows] = self.reader[rows]
        self.on_device = on_device

    def __getitem__(self, index):
        (X,) = self._read([index])
        return self._with_targets(X, index)

    def batches(
        self, positions: Sequence[Any], *, with_teacher: bool = False
    ) -> Iterator[Any]:
        """Return a batch for each item of `positions`."""
        finish = self._with_teacher if with_teacher else self._with_targets
        at = to_device(positions, self.y.device)
        read = self._read(positions if self.on_device is None else at)
        return (finish(X, index) for X, index in zip(read, at, strict=True))

    def _read(self, positions: Sequence[Any]) -> Iterator[Tensor]:
        if self.on_device is not None:
            return map(self._copy_from_device, positions)
        on_gpu = self.y.device.type == "cuda"
        for_host = [p.numpy() if isinstance(p, Tensor) else p for p in positions]
        return self.reader.ahead(for_host, self.num_workers, pin=on_gpu)

    def _copy_from_device(self, index: Any) -> Tensor:
        assert self.on_device is not None
        X = self.on_device[index]
        # no view: the code may change what it is given
        return X.clone() if isinstance(index, slice) else X

    @property
    def augmented(self) -> bool:
        """Whether an image is changed at random each time it is read."""
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
        if X.device != device:
            X = X.pin_memory().to(device, non_blocking=True)
        if self.augment is not None:
            augmented = self.augment(X)
            if augmented.shape != X.shape:  # it was right for the two of the check
                raise wrong_transform(X, augmented)
            X = augmented
        X = X.to(torch.float32)
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

    def standardise(self, mean: Tensor, scale: Tensor) -> None:
        """Standardise channels from now on, by numbers of shape (channels, 1, 1)."""
        self.mean, self.scale = mean, scale

    def behind(self, gates: InputGates | None) -> "Images":
        """Return the same images behind other gates; they are cropped on their own."""
        view = copy(self)
        view.kept, view.gates = list(self.kept), gates
        return view

    def learn_from(self, outputs: Outputs) -> None:
        """Keep what a trained network gives for whole images, as a teacher.

        For images that are augmented, it is asked for each batch as it is then.
        """
        if self.augmented:
            self.teacher = outputs
            return
        positions = batches_in_order(len(self), self.batch_size_to_score)
        parts = [outputs(self._whole(X)) for X in self._read(positions)]
        self.teacher = torch.cat(parts)

    def keep_inputs(self, kept: Tensor) -> None:
        """Keep some of the present channels."""
        self._keep(kept, dim=1)

    def _keep(self, kept: Tensor, dim: int) -> None:
        kept = kept.to(self.y.device)
        before = self.kept[dim - 1]
        self.kept[dim - 1] = kept if before is None else before[kept]

    def crop(self, rows: Tensor, columns: Tensor, mask: Tensor | None) -> None:
        """Keep some rows and columns of pixels, and what a mask has of them.

        Gates are no longer needed, and are gone.
        """
        self.gates = None
        self._keep(rows, dim=2)
        self._keep(columns, dim=3)
        self.mask = mask

    def count_inputs(self, shape: tuple[int, ...]) -> int:
        """Return how many numbers of an image get through to a network."""
        if self.mask is not None:
            return int(self.mask.sum())
        n = super().count_inputs(shape)
        if self.gates is None:
            return n
        through = self.gates.support()  # the same for all channels that may go alone
        return n * int(through.sum()) // through.numel()


LEAST_SCALE = 1e-30  # of a channel that is not constant: within float32


def free_memory(device: torch.device) -> int:
    """Return how many bytes of a GPU are free; none of what is no GPU."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0


def put_on_gpu(parts: Sequence[Images], device: torch.device) -> None:
    """Copy images to the device, if it is a GPU that all of them fit on."""
    able = [images for images in parts if images.can_be_on_device]
    n_bytes = sum(images.n_bytes for images in able)
    if n_bytes <= SHARE_FOR_IMAGES * free_memory(device):
        for images in able:
            images.put_on_device()


def check_all_finite(images: Images) -> None:
    """Raise ValueError where images of a part hold what is no number."""
    for _ in _plain_batches(images):
        pass


def _plain_batches(images: Images) -> Iterator[tuple[Tensor, slice]]:
    """Yield all images as they are stored, with their positions; refuse NaN."""
    batches = slices(len(images), images.batch_size_to_score)
    read = replace(images.reader, transform=None).ahead(batches, images.num_workers)
    for X, rows in zip(read, batches, strict=True):
        check_finite(X, images.reader.rows[rows])
        yield X, rows


def channel_statistics(images: Images) -> tuple[np.ndarray, np.ndarray]:
    """Return the weighted mean and standard deviation of each channel, float64."""
    total = 0.0
    first, second = torch.zeros(2, 1, dtype=torch.float64)
    for stored, rows in _plain_batches(images):
        X, w = stored.double(), images.weight[rows].double().cpu()
        first = first + torch.einsum("n,nchw->c", w, X)
        second = second + torch.einsum("n,nchw->c", w, X * X)
        total += float(w.sum()) * X[0, 0].numel()
    mean = first / total
    scale = (second / total - mean**2).clamp(min=0).sqrt()
    constant = scale <= (1e-9 * mean.abs()).clamp(min=LEAST_SCALE)
    scale[constant] = 1.0
    return mean.numpy(), scale.numpy()
