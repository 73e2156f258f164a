"""Seeds, and torch's random state, which is left as it was."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

_LOCK = threading.RLock()


def draw_seed(random_state: int | np.random.RandomState | None) -> int:
    """Draw a seed without touching numpy's global state.

    None gives fresh entropy.
    """
    if random_state is None:
        return int(np.random.default_rng().integers(2**31))
    if not isinstance(random_state, np.random.RandomState):
        random_state = np.random.RandomState(random_state)
    return int(random_state.randint(2**31 - 1))


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch for a while, on one device, and then restore its random state.

    New tensors are of float32 meanwhile, whatever type the user has set, and have
    gradients, though the user may have switched these off. Nothing is cast to less, as
    `torch.autocast` of the user would. All threads of a process
    share torch's random state, that type, and what `torch.fx` patches while it traces.
    So fits in threads take turns.
    """
    on_gpu = device.type == "cuda"
    devices = [device] if on_gpu else []
    with (
        _LOCK,
        _new_tensors_of(torch.float32),
        torch.inference_mode(False),
        torch.enable_grad(),
        _without_casts(device),
        torch.random.fork_rng(devices=devices),
    ):
        # torch.manual_seed would seed every GPU as well.
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


@contextmanager
def _without_casts(device: torch.device) -> Iterator[None]:
    """Switch off the casts that the user has switched on.

    Only these: what casts within forgets its copies of weights when no other is left.
    """
    if not torch.is_autocast_enabled(device.type):
        yield
        return
    with torch.autocast(device.type, enabled=False):
        yield


@contextmanager
def _new_tensors_of(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
