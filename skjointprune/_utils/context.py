"""How a fit treats the world: it leaves random states and half-built work alone."""

import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch import nn

_ONE_AT_A_TIME = threading.RLock()


def draw_seed(random_state) -> int:
    """Draw a seed without touching numpy's global state.

    None gives fresh entropy.
    """
    if random_state is None:
        return int(np.random.default_rng().integers(2**31))
    return int(check_random_state(random_state).randint(2**31 - 1))


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
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"`device` {device!r} is not there ({str(error).splitlines()[0]}). Use "
            "'auto' or 'cpu'."
        ) from error


def kind_of_rows(module: nn.Module) -> dict[str, Any]:
    """Return the device and the type of numbers of rows for a module.

    The type is that of its first parameter of real numbers.
    """
    parameters = list(module.parameters())
    real = (p.dtype for p in parameters if p.is_floating_point())
    return {"device": parameters[0].device, "dtype": next(real, torch.float32)}


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode for a while, and each layer back."""
    modes = [(layer, layer.training) for layer in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for layer, training in modes:
            layer.training = training


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Multiply numbers of float32 as such for a while, where a GPU would round them.

    Convolutions there run in TF32 unless they are told not to: 10 bits of mantissa.
    """
    if device.type != "cuda":
        yield
        return
    exact: str | bool
    cudnn, cublas = torch.backends.cudnn, torch.backends.cuda.matmul
    if hasattr(cudnn, "conv"):  # torch 2.9 and later, where one may not read both
        name, exact = "fp32_precision", "ieee"
        parts = [cudnn.conv, cudnn.rnn, cublas]
    else:
        name, exact = "allow_tf32", False
        parts = [cudnn, cublas]
    before = [getattr(part, name) for part in parts]
    for part in parts:
        setattr(part, name, exact)
    try:
        yield
    finally:
        for part, value in zip(parts, before, strict=True):
            setattr(part, name, value)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch for a while, on one device, and then restore its random state.

    The random state is one for all threads of a process, and so is what `torch.fx`
    patches while it traces: fits in threads take turns.
    """
    on_gpu = device.type == "cuda"
    with _ONE_AT_A_TIME, torch.random.fork_rng(devices=[device] if on_gpu else []):
        # torch.manual_seed would seed every GPU as well.
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


@contextmanager
def all_or_nothing(estimator) -> Iterator[None]:
    """If a fit fails or is interrupted, leave the estimator as it was before."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


def warn_caller(message: str) -> None:
    """Warn where the user's code called, outside this package and scikit-learn."""
    frame, level = sys._getframe(), 1
    inside = ("skjointprune.", "sklearn.", "joblib.", "contextlib")
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(inside):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level)
