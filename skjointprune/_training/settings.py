"""Settings of training: checked, and "auto" resolved, before anything is trained."""

import math
from collections.abc import Iterable
from copy import copy
from inspect import isclass
from typing import Any

import torch
from skorch.callbacks import Callback, EpochScoring

from .phase_callbacks import WRITERS
from .tasks import Task

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}
# A phase of "auto" epochs has at least so many steps for each root of a row, in these
# bounds; and retraining at least so many epochs, while these are not too many steps.
AUTO_STEPS = 30
LEAST_AUTO_STEPS, MOST_AUTO_STEPS = 300, 4000
AUTO_RETRAIN_EPOCHS, MOST_AUTO_RETRAIN_STEPS = 20, 8000
NOISE_OF_WIDE = 1.0  # standard deviations
# Of many inputs, some stand in for others, so that each bears more noise. With very
# many rows, noise is of less use.
NOISE_OF_RETRAINING, MOST_NOISE_OF_RETRAINING = 0.04, 0.4  # at one input; at most
ROWS_OF_FULL_NOISE = 20_000
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


def check_params_of_optimizer(
    optimizer: type[torch.optim.Optimizer], lr: float, params: dict[str, Any]
) -> None:
    """Raise ValueError where an optimiser does not take the values of parameters."""
    try:
        optimizer([torch.nn.Parameter(torch.zeros(1, 1))], lr=lr, **params)  # type: ignore[call-arg]
    except Exception as error:
        given = ", ".join(f"`optimizer__{n}`={v!r}" for n, v in params.items())
        raise ValueError(
            f"`optimizer` {optimizer.__name__} cannot be made with "
            f"{given or f'`lr`={lr:g}'} ({error}). See its documentation."
        ) from error


def resolve_callbacks(callbacks: Iterable[Any]) -> list[tuple[str, Callback]]:
    """Return callbacks with names; a class stands for what it makes without arguments.

    Raises
    ------
    ValueError
        If one is no callback, or a class that needs arguments.
    """
    named = []
    for i, given in enumerate(callbacks):
        is_pair = isinstance(given, tuple) and len(given) == 2
        name, held = given if is_pair else (f"callback{i}", given)
        kind = held if isclass(held) else type(held)
        if not issubclass(kind, Callback):
            raise ValueError(
                "`callbacks` must hold skorch callbacks, or tuples (name, callback). "
                f"Got {given!r}; derive it from skorch.callbacks.Callback."
            )
        if isclass(held):
            try:
                held = held()
            except TypeError as error:
                raise ValueError(
                    f"`callbacks` holds the class {kind.__name__}, which needs "
                    f"arguments ({error}). Pass an object."
                ) from error
        # one that writes files would make its folder
        if kind.__module__.startswith("skorch.") and not isinstance(held, WRITERS):
            try:
                copy(held).initialize()
            except Exception as error:
                raise ValueError(
                    f"`callbacks` holds a {kind.__name__} that cannot be used "
                    f"({error}). Change its parameters."
                ) from error
        named.append((name, held))
    return named


def check_monitors(
    callbacks: Iterable[tuple[str, Callback]], column: str, *, held_out: bool
) -> None:
    """Raise ValueError where a callback watches what no epoch records.

    Parameters
    ----------
    callbacks : list of (name, callback)
    column : str
        What the score on held-out rows is called.
    held_out : bool
        Whether there are such rows.
    """
    callbacks = list(callbacks)
    always = {"train_loss", "dur", "epoch"}
    of_held_out = {"valid_loss", column}
    own = True  # whether all callbacks are skorch's, so that what they record is known
    for _, callback in callbacks:
        own &= type(callback).__module__.startswith("skorch.")
        if isinstance(callback, EpochScoring):
            name = copy(callback).initialize().name_
            (always if callback.on_train else of_held_out).add(name)
    for _, callback in callbacks:
        monitor = getattr(callback, "monitor", None)
        if not isinstance(monitor, str):
            continue
        watched, kind = monitor.removesuffix("_best"), type(callback).__name__
        if watched in of_held_out and not held_out:
            raise ValueError(
                f"The callback {kind} watches {monitor!r}, and no rows are held out: "
                "there are too few, or `validation_fraction` is 0 or None. Add rows, "
                "raise it, or watch 'train_loss'."
            )
        if own and watched not in always | of_held_out:
            known = ", ".join(sorted(always | of_held_out))
            raise ValueError(
                f"The callback {kind} watches {monitor!r}, which no epoch records. Use "
                f"one of {known}, or add an EpochScoring of that name."
            )


def check_scoring_of(callbacks: Iterable[tuple[str, Callback]], task: Task) -> None:
    """Raise ValueError where scikit-learn's scorers cannot score what is learnt."""
    for name, callback in callbacks:
        if isinstance(callback, EpochScoring) and not task.takes_scorers:
            raise ValueError(
                f"The callback {name!r} is an EpochScoring, which cannot score risk "
                f"scores while training. Leave it out; {task.column!r} of `history_` "
                "is the concordance on held-out rows."
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


def resolve_batch_size(
    batch_size: int | str, n_rows: int, part: int, least: int, most: int
) -> int:
    """Return how many rows a step has; "auto" is a part of them, within bounds."""
    if batch_size == "auto":
        return min(max(n_rows // part, least), most)
    return int(batch_size)


def resolve_input_noise(input_noise: float | str, n_rows: int, n_columns: int) -> float:
    """Return the noise on inputs; "auto" has some where columns outnumber rows.

    There a network learns each row by heart, by any columns.
    """
    if input_noise == "auto":
        return NOISE_OF_WIDE if n_columns > n_rows else 0.0
    return float(input_noise)


def noise_of_retraining(n_rows: int, n_columns: int) -> float:
    """Return the noise on so many inputs while classes are learnt from what is left."""
    noise = min(NOISE_OF_RETRAINING * math.sqrt(n_columns), MOST_NOISE_OF_RETRAINING)
    return noise * min(1.0, ROWS_OF_FULL_NOISE / n_rows)


def resolve_epochs(epochs: int | str, n_rows: int, n_batches: int) -> int:
    """Return a number of epochs; "auto" grows with the root of the rows."""
    if epochs == "auto":
        steps = AUTO_STEPS * math.sqrt(n_rows)
        steps = min(max(steps, LEAST_AUTO_STEPS), MOST_AUTO_STEPS)
        return math.ceil(steps / n_batches)
    return int(epochs)


def resolve_retrain_epochs(epochs: int | str, n_rows: int, n_batches: int) -> int:
    """Return a number of epochs of retraining; "auto" has more where rows are many."""
    resolved = resolve_epochs(epochs, n_rows, n_batches)
    if epochs == "auto":
        most = MOST_AUTO_RETRAIN_STEPS // n_batches
        return max(resolved, min(AUTO_RETRAIN_EPOCHS, most))
    return resolved
