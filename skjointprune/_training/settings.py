"""Settings of training: checked, and "auto" resolved, before anything is trained."""

import math
from collections.abc import Iterable
from inspect import isclass
from typing import Any

import torch
from skorch.callbacks import Callback

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}
# A phase of "auto" epochs has at least so many steps for each root of a row, in these
# bounds; and retraining at least so many epochs.
AUTO_STEPS = 30
LEAST_AUTO_STEPS, MOST_AUTO_STEPS = 300, 4000
AUTO_RETRAIN_EPOCHS = 20
# They need a closure, or gradients that are sparse.
UNFIT = (torch.optim.LBFGS, torch.optim.SparseAdam)


def resolve_optimizer(optimizer: Any) -> type[torch.optim.Optimizer]:
    """Return the class of an optimiser that is given by name, or itself.

    Raises
    ------
    ValueError
        If it is none, or none that trains by one step a batch.
    """
    if isinstance(optimizer, str):
        return OPTIMIZERS[optimizer]
    if not (isclass(optimizer) and issubclass(optimizer, torch.optim.Optimizer)):
        raise ValueError(
            "`optimizer` must be a name or a class of optimiser. Got "
            f"{optimizer!r}; pass 'adam' or a subclass of torch.optim.Optimizer."
        )
    if issubclass(optimizer, UNFIT):
        raise ValueError(
            "`optimizer` must take one step a batch, of dense gradients. Got "
            f"{optimizer.__name__}; use 'adam' or 'sgd'."
        )
    return optimizer


def check_callbacks(callbacks: Iterable[Any]) -> None:
    """Raise ValueError where one is no callback, with or without a name."""
    for callback in callbacks:
        named = isinstance(callback, tuple) and len(callback) == 2
        held = callback[1] if named else callback
        kind = held if isclass(held) else type(held)
        if not issubclass(kind, Callback):
            raise ValueError(
                "`callbacks` must hold skorch callbacks, or tuples (name, callback). "
                f"Got {callback!r}; derive it from skorch.callbacks.Callback."
            )


def check_monitors(callbacks: Iterable[Any], of_held_out: Iterable[str]) -> None:
    """Raise ValueError where a callback watches a score on held-out rows.

    For a fit that holds none out.
    """
    missing = {f"{name}{best}" for name in of_held_out for best in ("", "_best")}
    for callback in callbacks:
        held = callback[1] if isinstance(callback, tuple) else callback
        monitor = getattr(held, "monitor", None)
        if isinstance(monitor, str) and monitor in missing:
            raise ValueError(
                f"The callback {type(held).__name__} watches {monitor!r}, and no rows "
                "are held out. Set `validation_fraction`, or its `monitor` to "
                "'train_loss'."
            )


def check_backend(compiled: bool | str) -> None:
    """Raise ValueError where torch.compile knows no such backend."""
    if not isinstance(compiled, str):
        return
    there = torch.compiler.list_backends(exclude_tags=())
    if compiled not in there:
        raise ValueError(
            "`compile` must be a bool or a backend of torch.compile. Got "
            f"{compiled!r}; choose from {', '.join(there)}."
        )


def resolve_batch_size(batch_size: int | str, n_rows: int) -> int:
    """Return how many rows a step has; "auto" is a tenth of them, 16 to 256."""
    if batch_size == "auto":
        return min(max(n_rows // 10, 16), 256)
    return int(batch_size)


def resolve_epochs(
    epochs: int | str, n_rows: int, n_batches: int, at_least: int = 1
) -> int:
    """Return a number of epochs; "auto" grows with the root of the rows."""
    if epochs == "auto":
        steps = AUTO_STEPS * math.sqrt(n_rows)
        steps = min(max(steps, LEAST_AUTO_STEPS), MOST_AUTO_STEPS)
        return max(at_least, math.ceil(steps / n_batches))
    return int(epochs)
