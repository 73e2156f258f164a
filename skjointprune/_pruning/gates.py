"""Gates on rows, columns, patches or pixels of images."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .._graph.network import Channels, Network

KINDS = ("channel", "row", "column", "patch", "pixel", "feature")


DEFAULT_KINDS = ("channel", "row", "column")


class InputGates:
    """A factor before each group of an image's numbers: 1, and 0 once it is closed.

    The derivative of the loss by a gate is its own gradient, so its saliency is that
    of a channel.

    Parameters
    ----------
    kinds : sequence of str
        Out of `KINDS`; "channel" needs no gate, as a network loses its inputs.
    shape : tuple of int
        (channels, height, width).
    patch_size : int
        Height and width of a patch.
    device : torch.device

    Attributes
    ----------
    channels : list of Channels
        The gates that are open, of each kind; they shrink as gates close.
    listening : bool
        Whether the next batch tells their gradients. It takes a derivative by the
        images, which no weight needs, so it is not asked of every batch.
    """

    def __init__(
        self,
        kinds: Sequence[str],
        shape: Sequence[int],
        patch_size: int,
        device: torch.device,
    ):
        C, H, W = shape
        self.shape, self.patch_size = (C, H, W), patch_size
        self.device = device
        self.with_channels = "channel" in kinds
        self.listening = True
        kinds = [kind for kind in kinds if kind != "channel"]
        patches = (1, -(-H // patch_size), -(-W // patch_size))
        sizes = {
            "row": (1, H, 1),
            "column": (1, 1, W),
            "patch": patches,
            "pixel": (1, H, W),
            "feature": (C, H, W),
        }
        self.values = {
            kind: torch.ones(sizes[kind], device=device, requires_grad=True)
            for kind in kinds
        }
        self.channels = [
            Channels(f"{kind}s" if kind != "patch" else "patches", v.numel())
            for kind, v in self.values.items()
        ]
        self.kind_of = dict(
            zip((c.name for c in self.channels), self.values, strict=True)
        )

    def of(self, network: Network) -> list[Channels]:
        """Return what may go of images: their channels, and what has gates."""
        return [network.inputs] * self.with_channels + self.channels

    def apply(self, X: Tensor) -> Tensor:
        """Return images, (n, channels, height, width), through the gates."""
        for channels, (kind, value) in zip(
            self.channels, self.values.items(), strict=True
        ):
            if self.listening:
                X = X * self._spread(kind, value)
            elif channels.size < value.numel():
                X = X * self._spread(kind, value.detach())
        return X

    def _spread(self, kind: str, value: Tensor) -> Tensor:
        if kind != "patch":
            return value
        p = self.patch_size
        full = value.repeat_interleave(p, 1).repeat_interleave(p, 2)
        return full[:, : self.shape[1], : self.shape[2]]

    def gradient(self, name: str) -> Tensor:
        """Return the derivative of a batch's loss by each open gate, and forget it."""
        value = self.values[self.kind_of[name]]
        gradient, value.grad = value.grad, None
        if gradient is None:
            gradient = torch.zeros_like(value)
        return gradient[value.detach() > 0]

    def close(self, name: str, keep: Tensor) -> None:
        """Close the open gates that a mask, (open gates,), leaves out."""
        value = self.values[self.kind_of[name]]
        with torch.no_grad():
            value[value > 0] = keep.to(value)
        next(c for c in self.channels if c.name == name).size = int(keep.sum())

    def spread(self, name: str, of_open: Tensor) -> Tensor:
        """Return numbers of open gates for each number of an image, 0 if closed."""
        kind = self.kind_of[name]
        value = self.values[kind].detach()
        full = torch.zeros_like(value)
        full[value > 0] = of_open.to(full.dtype)
        return self._spread(kind, full).expand(self.shape)

    def support(self) -> Tensor:
        """Return which numbers of an image get through, (channels, height, width)."""
        ones = torch.ones(self.shape, device=self.device)
        return self.apply(ones).detach() > 0


def prunable_inputs(network: Network, gates: InputGates | None) -> list[Channels]:
    """Return what may go of the inputs; an exact number of inputs is of the first."""
    return [network.inputs] if gates is None else gates.of(network)
