"""Gates before the inputs of a network, and which of its inputs may go."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .._graph.network import Channels, Network
from .crop import crop_that_runs

KINDS = ("channel", "row", "column", "patch", "pixel", "feature")
DEFAULT_KINDS = ("channel", "row", "column")
PLURALS = {
    "row": "rows",
    "column": "columns",
    "patch": "patches",
    "pixel": "pixels",
    "feature": "features",
}


class InputGates:
    """A factor before each group of an image's numbers: 1, and 0 once it is closed.

    The derivative of the loss by a gate is its own gradient, so its saliency is that
    of a channel. Channels of an image, and columns of a table, need no gate: a network
    loses them for good. So a table has gates of no kind.

    Rows and columns of pixels that are behind closed gates are cut out of the images
    at once, as far as the network runs on smaller ones; else they are zero.

    Parameters
    ----------
    kinds : sequence of str
        Out of `KINDS`. "channel" lets the network's own inputs go; of a row that is no
        image it is the only one.
    shape : tuple of int
        Of one row of data: (columns,), or (channels, height, width) of an image.
    patch_size : int
        Height and width of a patch.
    device : torch.device

    Attributes
    ----------
    channels : list of Channels
        The gates that are open, of each kind; they shrink as gates close.
    with_channels : bool
        Whether the network's own inputs may go.
    records_gradient : bool
        Whether the next batch gives their gradients. That takes a derivative by the
        images, which no weight needs, so not every batch does it.
    """

    def __init__(
        self,
        kinds: Sequence[str],
        shape: Sequence[int],
        patch_size: int = 1,
        device: torch.device | str = "cpu",
    ):
        self.shape, self.patch_size = tuple(shape), patch_size
        self.device = device
        self.with_channels = "channel" in kinds
        self.records_gradient = True
        self._given: dict[int, Tensor] = {}  # positions, by dimension; all if not there
        self._one_size = False  # whether a network took none but whole images
        self.values = {
            kind: torch.ones(self._size(kind), device=device, requires_grad=True)
            for kind in kinds
            if kind != "channel"
        }
        # positions of those that are open: to find them, a GPU would be waited for
        self._open = {
            kind: torch.arange(value.numel(), device=device)
            for kind, value in self.values.items()
        }
        # with a space: no layer is called so, and channels are told apart by name
        self._kinds = {f"image {PLURALS[kind]}": kind for kind in self.values}
        self.channels = [
            Channels(name, self.values[kind].numel())
            for name, kind in self._kinds.items()
        ]

    def __contains__(self, name: str) -> bool:
        """Tell whether channels of this name are gates."""
        return name in self._kinds

    def prunable_inputs(self, network: Network) -> list[Channels]:
        """Return what may go of the inputs; a number of inputs limits the first."""
        return [network.inputs] * self.with_channels + self.channels

    def count(self, name: str) -> int:
        """Return how many gates of a kind there are, open or closed."""
        return self._values(name).numel()

    def apply(self, X: Tensor) -> Tensor:
        """Return images, (n, channels, height, width), through the gates, and cut."""
        for channels, (kind, value) in zip(
            self.channels, self.values.items(), strict=True
        ):
            if self.records_gradient:
                X = X * self._spread(kind, value)
            elif channels.size < value.numel():
                X = X * self._spread(kind, value.detach())
        for dim, given in self._given.items():
            X = X.index_select(dim, given)
        return X

    def gradient(self, name: str) -> Tensor:
        """Return the derivative of a batch's loss by each open gate, and forget it."""
        value = self._values(name)
        gradient, value.grad = value.grad, None
        if gradient is None:
            gradient = torch.zeros_like(value)
        return gradient.flatten()[self._open[self._kinds[name]]]

    def close(self, name: str, keep: Tensor) -> None:
        """Close the open gates that a mask, (open gates,), leaves out."""
        value = self._values(name)
        with torch.no_grad():
            value[value > 0] = keep.to(value)
        kind = self._kinds[name]
        self._open[kind] = value.detach().flatten().nonzero().flatten()
        next(c for c in self.channels if c.name == name).size = int(keep.sum())

    def cut(self, module: nn.Module, channels: int) -> None:
        """Cut out what is behind closed gates, as far as a network runs without it."""
        if self._one_size:
            return
        through = self.support().any(dim=0).cpu()
        rows, columns = through.any(dim=1).numpy(), through.any(dim=0).numpy()
        needed = map(np.flatnonzero, (rows, columns))
        if all(map(np.array_equal, needed, self.given())):
            return
        sides = crop_that_runs(module, channels, rows, columns)
        self._one_size = all(side.all() for side in sides)
        for dim, side in enumerate(sides, start=2):
            self._given[dim] = torch.from_numpy(np.flatnonzero(side)).to(self.device)

    def given(self) -> list[Tensor]:
        """Return the positions of the rows and the columns that a network is given."""
        sizes = enumerate(self.shape[1:], start=2)
        return [self._given.get(dim, torch.arange(n)).cpu() for dim, n in sizes]

    def state_dict(self) -> dict[str, Any]:
        """Return which gates are open, what is cut, and whether gradients are due."""
        return {
            "values": {kind: value.detach() for kind, value in self.values.items()},
            "given": {str(dim): given for dim, given in self._given.items()},
            "records_gradient": self.records_gradient,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Open and close gates as those of a state."""
        for name, kind in self._kinds.items():
            open_ones = state["values"][kind].to(self.device) > 0
            self.close(name, open_ones[self._values(name).detach() > 0])
        given = state["given"].items()
        self._given = {int(dim): at.to(self.device) for dim, at in given}
        self.records_gradient = state["records_gradient"]

    def spread(self, name: str, of_open: Tensor) -> Tensor:
        """Return numbers of open gates for each number of a row, 0 if closed."""
        value = self._values(name).detach()
        full = torch.zeros_like(value)
        full[value > 0] = of_open.to(full)
        return self._spread(self._kinds[name], full).expand(self.shape)

    def support(self) -> Tensor:
        """Return which numbers of a row get through, of its shape."""
        through = torch.ones(self.shape, dtype=torch.bool, device=self.device)
        for kind, value in self.values.items():
            through = through & (self._spread(kind, value.detach()) > 0)
        return through

    def _values(self, name: str) -> Tensor:
        return self.values[self._kinds[name]]

    def _size(self, kind: str) -> tuple[int, int, int]:
        """Return how many gates stand along channels, rows and columns."""
        C, H, W = self.shape
        p = self.patch_size
        return {
            "row": (1, H, 1),
            "column": (1, 1, W),
            "patch": (1, -(-H // p), -(-W // p)),
            "pixel": (1, H, W),
            "feature": (C, H, W),
        }[kind]

    def _spread(self, kind: str, value: Tensor) -> Tensor:
        """Repeat factors of patches for each pixel; others spread by themselves."""
        if kind != "patch":
            return value
        p = self.patch_size
        full = value.repeat_interleave(p, 1).repeat_interleave(p, 2)
        return full[:, : self.shape[1], : self.shape[2]]
