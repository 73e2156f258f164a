"""Devices, types of numbers, modes of layers and precision, for torch."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


def choose_device(device: str | torch.device) -> torch.device:
    """Resolve "auto" to the GPU where there is one.

    Raises
    ------
    ValueError
        If torch knows no such device here.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"`device` {device!r} is not there ({str(error).splitlines()[0]}). Use "
            "'auto' or 'cpu'."
        ) from error
    if found.type == "meta":
        raise ValueError(
            "`device` 'meta' holds no numbers, so nothing is learnt there. Use 'auto' "
            "or 'cpu'."
        )
    return found


def kind_of_rows(module: nn.Module) -> dict[str, Any]:
    """Return the device and the type of the rows that a module takes.

    The type is that of its first parameter of real numbers.
    """
    parameters = list(module.parameters())
    real = (p.dtype for p in parameters if p.is_floating_point())
    return {"device": parameters[0].device, "dtype": next(real, torch.float32)}


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode for a while, then each layer as it was."""
    modes = [(layer, layer.training) for layer in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for layer, training in modes:
            layer.training = training


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Multiply float32 numbers in full for a while, where a GPU would round them.

    By default a GPU rounds them to TF32 in convolutions: 10 bits of mantissa.
    """
    if device.type != "cuda":
        yield
        return
    cudnn: Any = torch.backends.cudnn  # whose parts torch does not declare
    parts = [cudnn.conv, cudnn.rnn, torch.backends.cuda.matmul]
    before = [part.fp32_precision for part in parts]
    for part in parts:
        part.fp32_precision = "ieee"
    try:
        yield
    finally:
        for part, value in zip(parts, before, strict=True):
            part.fp32_precision = value
