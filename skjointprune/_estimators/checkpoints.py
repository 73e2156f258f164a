"""The checkpoint of a fit, of an estimator or along a path."""

import os
from typing import Any

import torch

from .._storage.digest import digest
from .._training.checkpoint import Checkpoint

# What a fit comes to does not depend on them; the seed is compared by itself.
OF_NO_MATTER = {"checkpoint", "verbose", "random_state"}


def checkpoint_of(
    estimator: Any,
    path: str | os.PathLike[str] | None,
    device: torch.device,
    **more: Any,
) -> Checkpoint:
    """Return a checkpoint that knows the parameters of an estimator, and others."""
    if path is None:
        return Checkpoint()
    given = estimator.get_params(deep=False)
    images = given.pop("images", None)
    if images is not None:  # by the names that users know
        given |= {f"images__{n}": v for n, v in images.get_params().items()}
    given |= {"device": device.type, "estimator": type(estimator).__name__} | more
    params = {n: _digest_of(n, given[n]) for n in given.keys() - OF_NO_MATTER}
    return Checkpoint(path, params)


def _digest_of(name: str, value: Any) -> str:
    try:
        return digest(value)
    except TypeError as error:
        raise TypeError(
            f"`{name}` cannot be compared with that of another call ({error}). Change "
            "it, or leave `checkpoint` at None."
        ) from error


class CloneWithoutCheckpoint:
    """Clones have no `checkpoint`: several fits, as of a search, would share a file."""

    def __sklearn_clone__(self):
        new = super().__sklearn_clone__()  # type: ignore[misc]
        new.checkpoint = None
        return new
