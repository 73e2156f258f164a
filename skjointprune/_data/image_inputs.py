"""`ImageInputs`: channels, rows, columns, patches or pixels of images as inputs."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.utils.validation import check_X_y, validate_data
from torch import Tensor, nn
from torch.utils.data import Subset

from .._graph.compact import compact_
from .._graph.network import INPUTS, Network
from .._pruning.crop import runs
from .._pruning.gates import DEFAULT_KINDS, InputGates
from .._storage.digest import digest
from .._utils.input_names import input_names
from .._utils.warn import warn_caller
from .boxes import frame_of, read_cropped, smallest_box
from .check_images import (
    as_array,
    check_dataset,
    check_image_array,
    check_transform,
    is_images,
    warn_of_channels_last,
)
from .image_options import ImageInput, resolve_kinds
from .images import Images, channel_statistics, check_all_finite, put_on_gpu
from .inputs import Inputs, Traced, refuse_parameters
from .prepare import Data, Preparation, Scaling, split_rows
from .readers import DATASETS, read_images
from .targets import targets_of

MOST_DIGESTED = 256  # images of a dataset


@dataclass(frozen=True, eq=False)
class ImageInputs(Inputs):
    """Images, of which channels go exactly, and rows and columns are cropped.

    Rows, columns, patches and pixels have gates while a network is sparsified, as what
    is left gets other neighbours when they go. `kinds` says which of these may go.
    """

    shape: tuple[int, ...]  # (channels, height, width)
    kinds: tuple[str, ...] = DEFAULT_KINDS
    options: ImageInput = field(default_factory=ImageInput)

    names: None = field(default=None, init=False)
    groups: None = field(default=None, init=False)
    columns: None = field(default=None, init=False)

    batch_size_to_score: ClassVar[int] = Images.batch_size_to_score
    pinned_remedy: ClassVar[str] = (
        "Let `module` do no more with them than a convolution does."
    )

    @staticmethod
    def takes(X: Any) -> bool:
        """Tell whether X holds images."""
        return is_images(X)

    @staticmethod
    def take(X: Any, rows: np.ndarray) -> Any:
        """Return some images, without a copy."""
        return Subset(X, rows.tolist())

    @classmethod
    def check(
        cls, estimator: Any, X: Any, y: Any, *, y_numeric: bool
    ) -> tuple[Self, Any, Any]:
        """Check images, which are read later, batch by batch."""
        if isinstance(X, DATASETS):
            shape = check_dataset(X)
            y = targets_of(X, y)
        else:
            X = _validate(estimator, X)
            shape = check_image_array(X)
        warn_of_channels_last(shape)
        neutral = {
            "categorical_features": "from_dtype",
            "feature_groups": None,
            "feature_costs": None,
        }
        refuse_parameters(estimator, "tables", shape, neutral)
        rows = np.zeros((len(X), 1))
        _, y = check_X_y(rows, y, multi_output=True, y_numeric=y_numeric)
        options = ImageInput() if estimator.images is None else estimator.images
        options._validate_params()
        kinds = resolve_kinds(options.groups)
        if estimator.prune in ("weights", "none"):
            kinds = ("channel",)  # no gates: their gradients cost time
        return cls(shape, kinds, options), X, y

    def digest(self, X: Any) -> str:
        """Return a digest of an array, or of some images of a dataset.

        To read all of a dataset would take as long as an epoch.
        """
        if not isinstance(X, DATASETS):
            return super().digest(X)
        n = len(X)  # type: ignore[arg-type]
        some = np.unique(np.linspace(0, n - 1, min(n, MOST_DIGESTED)).astype(int))
        with torch.random.fork_rng(devices=[]):
            return digest([n, read_images(X, some)])

    def prepare(
        self,
        X: Any,
        rows: np.ndarray,
        y: np.ndarray,
        sample_weight: np.ndarray,
        how: Preparation,
    ) -> tuple["ImageInputs", Data]:
        """Return images to be read, of which only statistics are read now.

        On a GPU that they fit on, arrays are copied there now, as they are.
        """
        options = self.options
        if options.transform is not None:
            check_transform(
                options.transform,
                read_images(X, rows[:2]).to(how.device),
                in_batches=options.transform_batches,
            )
        split = split_rows(y, sample_weight, how)
        gates = self.gates(how.device)

        def images(name: str, **augmentation) -> Images:
            return Images(
                X,
                rows[split.masks[name]],
                *split.targets[name],
                num_workers=options.num_workers,
                gates=gates,
                **augmentation,
            )

        train = images(
            "train",
            transform=options.transform,
            transform_batches=options.transform_batches,
        )
        valid = images("valid") if "valid" in split.masks else None
        scaling = None
        if how.standardize:
            of_channels = channel_statistics(train)
            scaling = Scaling(
                *(torch.from_numpy(s)[:, None, None] for s in of_channels)
            )
        for part in (valid, None if how.standardize else train):
            if part is not None:  # others were read for their statistics
                check_all_finite(part)
        data = Data(train, valid, scaling, split.target_scaling, gates)
        if scaling is not None:
            for part in (train, valid):
                if part is not None:
                    part.standardise(
                        scaling.mean.to(how.device, torch.float32),
                        scaling.scale.to(how.device, torch.float32),
                    )
        put_on_gpu([train] if valid is None else [train, valid], how.device)
        return self, data

    def module(
        self, module: Any, hidden_layer_sizes: Any, *, regression: bool
    ) -> tuple[Any, dict[str, Any]]:
        """Return the module that was passed: there is no default for images."""
        if module is None:
            raise ValueError(
                "Images need a network for images. Got `module`=None; pass 'resnet18', "
                "'vgg16', or one of your own."
            )
        return module, {}

    def place(self, module: nn.Module, device: torch.device) -> nn.Module:
        """Put a module on a device, with channels last in memory if it runs so.

        What convolutions give is laid out as their weights are, and is faster with
        channels last. But `view` after a convolution then is an error of torch.
        """
        module = module.to(device)
        if runs(_with_channels_last_(deepcopy(module)), *self.shape):
            return _with_channels_last_(module)
        return module

    def gates(self, device: torch.device) -> InputGates:
        """Return a gate for each row, column, patch or pixel that may go."""
        return InputGates(self.kinds, self.shape, self.options.patch_size, device)

    def count_selectable(self, asked: Any) -> tuple[int, str]:
        """Return how many groups of the one kind there are."""
        gates = self.gates(torch.device("cpu"))
        sizes = [self.shape[0]] * gates.with_channels
        sizes += [c.size for c in gates.channels]
        if len(sizes) > 1:
            raise ValueError(
                f"`n_features_to_select`={asked} needs one kind of group to count. Got "
                f"`images__groups`={self.options.groups!r}; name one, such as 'row'."
            )
        return sizes[0], "groups"

    def trace_back(self, network: Network, kept: Tensor, data: Data) -> Traced:
        """Crop images and network to what got through the gates, and drop the gates.

        A channel, row or column that the network cannot lose is left, though nothing of
        it may be retained. What no product of channels, rows and columns can drop is
        zeroed.
        """
        gates = data.gates
        support = torch.zeros(self.shape, dtype=torch.bool)
        support[kept] = gates.support().cpu()[kept]
        left = support.any(dim=2).any(dim=1)[kept]  # of the channels that are there
        if not left.all() and not network.inputs.pinned:
            compact_(network, {INPUTS: left.to(gates.device)})
            kept = kept[left]
            for images in data.parts:
                images.keep_inputs(left.nonzero().flatten())
        gates.cut(network.module, len(kept))
        rows, columns = gates.given()
        box = smallest_box(support.numpy())
        height, width = map(len, box[1:])
        if len(rows) > height or len(columns) > width:
            warn_caller(
                f"`module` does not run on {height} x {width} images as on whole ones, "
                f"so it is given {len(rows)} x {len(columns)}, with zeros for what "
                "is not retained. Use a network that takes smaller images, or lower "
                "`alpha`."
            )
        needed = kept.numpy(), rows.numpy(), columns.numpy()
        inside = support[np.ix_(*needed)]
        mask = None if inside.all() else inside.to(gates.device, torch.float32)
        for images in data.parts:
            assert isinstance(images, Images)
            images.crop(rows, columns, mask)
        network.input_shape = tuple(inside.shape)
        frame = frame_of(needed, box)
        before = None if frame is None else ("frame", frame)
        return Traced(support.numpy(), kept, mask, before)

    def check_rows(self, estimator: Any, X: Any) -> Any:
        """Check images as in `fit`, without a copy.

        Raises
        ------
        ValueError
            If they have another shape.
        """
        if isinstance(X, DATASETS):
            shape = check_dataset(X)
        elif getattr(X, "ndim", 4) != 4:
            shape = X.shape[1:]
        else:
            X = _validate(estimator, X, reset=False)
            shape = check_image_array(X)
        if shape != self.shape:
            raise ValueError(
                f"X must hold images of shape {self.shape}, as in `fit`. Got {shape}; "
                "give whole images, which are cropped here."
            )
        return X

    def read(
        self, estimator: Any, X: Any, support: np.ndarray, dtype: torch.dtype
    ) -> Iterator[Any]:
        """Check images as in `fit`; return them cropped, some at a time."""
        X = self.check_rows(estimator, X)
        return (images.to(dtype) for images in read_cropped(X, support))

    def positions_read(self, support: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return those of the smallest box of channels, rows and columns."""
        return smallest_box(support)

    def names_of(
        self, estimator: Any, support: np.ndarray, input_features: Any
    ) -> np.ndarray:
        """Return x0_1_2, …, of channel, row and column, for what is retained."""
        return input_names(self.shape)[support.ravel()]

    def group_support(self, support: np.ndarray) -> np.ndarray:
        """Refuse: groups of images overlap."""
        raise ValueError(
            "Groups of images have no list. Read them off `get_support()`: "
            "`.any(axis=(0, 2))` are the rows that are retained."
        )


def _validate(estimator: Any, X: Any, **params) -> np.ndarray:
    """Check an array as scikit-learn does, but for NaN, which readers look for."""
    return validate_data(
        estimator,
        as_array(X),
        dtype=None,
        allow_nd=True,
        ensure_all_finite=False,
        **params,
    )


def _with_channels_last_(module: nn.Module) -> nn.Module:
    """Lay weights of maps out with channels last; torch has no such layout for more."""
    for t in [*module.parameters(), *module.buffers()]:
        if t.ndim == 4:
            t.data = t.data.contiguous(memory_format=torch.channels_last)
    return module
