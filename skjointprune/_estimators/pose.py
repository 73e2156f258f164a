"""From an estimator, X and y to a `Problem`: all checks of a fit, before it begins."""

from functools import partial
from inspect import isclass
from numbers import Integral
from typing import Any

import torch

from .._data.inputs import Inputs
from .._data.kinds import kind_of
from .._data.open_table import open_table
from .._data.prepare import Data
from .._pruning.prices import Prices
from .._storage.digest import digest
from .._training.checkpoint import Checkpoint
from .._training.network import dense_module
from .._training.problem import Epochs, Problem
from .._training.progress import Progress
from .._training.ranks import ALONE, Ranks
from .._training.settings import (
    check_backend,
    check_monitors,
    check_params_of_optimizer,
    check_scoring_of,
    resolve_batch_size,
    resolve_callbacks,
    resolve_epochs,
    resolve_optimizer,
    resolve_retrain_epochs,
)
from .._training.tasks import Task, task_for
from .._training.trainer import Trainer
from ..modules._build import check_names
from ..modules._mlp import MLP
from ..penalties import PENALTIES, Penalty
from .passed_on import params_for

ROWS_TO_COMPARE = 1024  # with those of other ranks


def pose(
    estimator: Any,
    X: Any,
    y: Any,
    sample_weight: Any,
    seed: int,
    device: torch.device,
    progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
    ranks: Ranks = ALONE,
) -> Problem:
    """Return what is to be fitted, once all that was given is checked.

    Training moves the progress on, and keeps its state in the checkpoint; None are such
    that say, and keep, nothing. Its steps are divided among ranks.

    Raises
    ------
    ValueError
        If X or y hold what cannot be learnt from, a parameter does not fit these, or
        ranks were given other data or parameters.
    """
    X, y, sample_weight = open_table(
        X, y, sample_weight, in_memory=estimator._needs_all_rows
    )
    y = estimator._read_y(y)
    inputs, X, y = kind_of(X).check(estimator, X, y, y_numeric=estimator._y_numeric)
    checkpoint = checkpoint or Checkpoint()
    checkpoint.check_data(
        {
            "X": partial(inputs.digest, X),
            "y": partial(digest, y),
            "sample_weight": partial(digest, sample_weight),
        }
    )
    n_inputs = _resolve_n_inputs(estimator, inputs)
    inputs, targets, data = inputs.make_data(
        estimator, X, y, sample_weight, seed, device
    )
    task = task_for(targets, getattr(estimator, "loss", None))
    progress = progress or Progress(0)
    trainer = _make_trainer(estimator, task, data, device, progress, checkpoint, ranks)
    epochs = _resolve_epochs(estimator, trainer, data)
    _check_ranks(estimator, trainer, data, (inputs.network_shape, n_inputs, epochs))
    if epochs.retrain:
        held_out = data.valid is not None
        check_monitors(trainer.callbacks, trainer.task.column, held_out=held_out)
    widens = estimator.module in (None, MLP)
    wide = inputs.network_shape[0] > len(data.train)
    may_go = estimator.prune in ("joint", "inputs") and estimator.alpha == "auto"
    screens = widens and wide and may_go and data.train.exchangeable_inputs
    return Problem(
        inputs=inputs,
        targets=targets,
        data=data,
        make_module=partial(
            dense_module,
            targets=targets,
            module=estimator.module,
            hidden_layer_sizes=estimator.hidden_layer_sizes,
            params=params_for(estimator, "module__"),
        ),
        widens=widens,
        trainer=trainer,
        prices=_make_prices(estimator, inputs),
        n_inputs=n_inputs,
        screens=screens,
        epochs=epochs,
        seed=seed,
        device=device,
    )


def _resolve_n_inputs(estimator: Any, inputs: Inputs) -> int | None:
    """Return how many inputs, or groups, are asked for; None if that is open."""
    asked = estimator.n_features_to_select
    if asked is None:
        return None
    n, what = inputs.count_selectable(asked)
    n_inputs = int(asked) if isinstance(asked, Integral) else max(1, int(asked * n))
    if n_inputs > n:
        raise ValueError(
            f"`n_features_to_select` must be at most the {n} {what} of X. Got {asked}; "
            "lower it or pass a fraction."
        )
    if n_inputs < inputs.n_always_kept:
        raise ValueError(
            f"`n_features_to_select` must leave the {inputs.n_always_kept} {what} that "
            f"cost 0 in `feature_costs`, which always stay. Got {asked}; raise it, or "
            "these costs."
        )
    if estimator.prune in ("weights", "none"):
        raise ValueError(
            f"`n_features_to_select`={asked} asks for fewer inputs, but "
            f"`prune`={estimator.prune!r} keeps all. Use 'joint' or 'inputs', or leave "
            "`n_features_to_select` at None."
        )
    return n_inputs


def _make_trainer(
    estimator: Any,
    task: Task,
    data: Data,
    device: torch.device,
    progress: Progress,
    checkpoint: Checkpoint,
    ranks: Ranks,
) -> Trainer:
    """Resolve the parameters of training."""
    optimizer = resolve_optimizer(estimator.optimizer)
    params = params_for(estimator, "optimizer__")
    check_names(optimizer, params, "optimizer")
    if "lr" in params:
        raise ValueError(
            f"The learning rate is `lr`. Got `optimizer__lr`={params['lr']!r} as well; "
            "set `lr` alone."
        )
    check_params_of_optimizer(optimizer, estimator.lr, params)
    callbacks = resolve_callbacks(estimator.callbacks or ())
    check_scoring_of(callbacks, task)
    check_backend(estimator.compile)
    # Others may look columns up, or have them in other units than deviations.
    takes_noise = estimator.module in (None, MLP) and data.scaling is not None
    quiet = estimator.input_noise == "auto" and not takes_noise
    return Trainer(
        task=task,
        input_noise=0.0 if quiet else estimator.input_noise,
        distillation=estimator.distillation,
        lr=estimator.lr,
        batch_size=resolve_batch_size(
            estimator.batch_size, len(data.train), *task.batch_sizes
        ),
        optimizer=optimizer,
        optimizer_params=params,
        device=device,
        progress=progress,
        checkpoint=checkpoint,
        amp=estimator.amp,
        compile=estimator.compile,
        callbacks=callbacks,
        ranks=ranks,
    )


def _check_ranks(estimator: Any, trainer: Trainer, data: Data, resolved: tuple) -> None:
    """Refuse batches that are too small for so many ranks, and data of their own."""
    ranks, rows = trainer.ranks, data.train.sample
    if not ranks.several:
        return
    ranks.refuse_small_batches(len(data.train) // trainer.n_batches(data))
    parameters = [
        (name, value if isinstance(value, str | int | float | None) else type(value))
        for name, value in sorted(estimator.get_params(deep=False).items())
        if name not in ("device", "verbose")
    ]
    tensors = [rows.y, rows.weight]
    if rows.exchangeable_inputs:
        tensors.append(rows[:ROWS_TO_COMPARE][0])
    values = (len(data.train), trainer.batch_size, resolved, parameters)
    ranks.refuse_differences("The ranks were given other data", values, tensors)


def _resolve_epochs(estimator: Any, trainer: Trainer, data: Data) -> Epochs:
    size = len(data.train), trainer.n_batches(data)
    return Epochs(
        pretrain=estimator.pretrain_epochs,
        sparsify=resolve_epochs(estimator.max_epochs, *size),
        retrain=resolve_retrain_epochs(estimator.retrain_epochs, *size),
    )


def _make_prices(estimator: Any, inputs: Inputs) -> Prices:
    """Resolve what may go, and at what price."""
    return Prices(
        _resolve_penalty(estimator.penalty),
        estimator.prune,
        inputs.group_numbers(),
        inputs.costs_of_inputs(),
        estimator.unit_cost,
        int(estimator.round_units_to),
    )


def _resolve_penalty(penalty: Any) -> Penalty:
    if isinstance(penalty, str):
        return PENALTIES[penalty]()
    if isclass(penalty):
        raise ValueError(
            f"`penalty` must be an object or a name. Got the class {penalty.__name__}; "
            f"pass {penalty.__name__}()."
        )
    return penalty
