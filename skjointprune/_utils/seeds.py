"""Seeds and random states: torch's is left as it was."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from sklearn.utils import check_random_state

_ONE_AT_A_TIME = threading.RLock()


def draw_seed(random_state) -> int:
    """Draw a seed without touching numpy's global state.

    None gives fresh entropy.
    """
    if random_state is None:
        return int(np.random.default_rng().integers(2**31))
    return int(check_random_state(random_state).randint(2**31 - 1))


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
