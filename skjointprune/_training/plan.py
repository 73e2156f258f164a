"""Which phases a fit has, to tell how long it will take."""

import math
from typing import Literal

from .choose import CHOOSING_SHARE, UNITS_AFTER_CHOICE
from .problem import Problem
from .progress import CHOOSE, COMPARE, PRETRAIN, RETRAIN, SEARCH, SPARSIFY, TEACH, Plan
from .search import MOST_COMPARED, UNITS_AFTER_SEARCH, epochs_of_comparing


def plan_of_fit(problem: Problem, alpha: float | Literal["auto"]) -> Plan:
    """Return the phases of a fit and their epochs; some may turn out not to come."""
    epochs, prune = problem.epochs, problem.prices.prune
    of_units = 0.0
    if alpha == "auto" and problem.searches:
        sparsifying: list[tuple[str, float]] = [(SEARCH, epochs.sparsify)]
        if problem.data.valid is not None:
            sparsifying += MOST_COMPARED * [(COMPARE, epochs_of_comparing(problem))]
        of_units = UNITS_AFTER_SEARCH
    elif alpha == "auto" and problem.chooses:
        sparsifying = [(CHOOSE, math.ceil(epochs.sparsify * CHOOSING_SHARE))]
        of_units = UNITS_AFTER_CHOICE
    else:
        sparsifying = [(SPARSIFY[prune], epochs.sparsify)]
    if of_units and prune == "joint":
        units = math.ceil(epochs.sparsify * of_units)
        sparsifying.append((SPARSIFY["weights"], units))
    return [*_before(problem), *sparsifying, (RETRAIN, epochs.retrain)]


def plan_of_path(problem: Problem, sparsify: int, retrain: list[float]) -> Plan:
    """Return the phases of a path that retrains points for shares of the epochs."""
    retrained = [(RETRAIN, math.ceil(problem.epochs.retrain * s)) for s in retrain]
    return [*_before(problem), (SPARSIFY[problem.prices.prune], sparsify), *retrained]


def _before(problem: Problem) -> list[tuple[str, float]]:
    """Return what is trained before anything goes."""
    epochs = problem.epochs
    if epochs.pretrain:
        return [(PRETRAIN, epochs.pretrain)]
    taught = problem.trainer.distillation and epochs.retrain
    return [(TEACH, epochs.retrain)] if taught else []
