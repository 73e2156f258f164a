"""Which phases a fit has, to tell how long it will take."""

import math
from typing import Literal

from .problem import SHARE_FOR_UNITS, Problem
from .progress import CHOOSE, COMPARE, PRETRAIN, RETRAIN, SEARCH, SPARSIFY, TEACH, Plan
from .search import CONFIRMING_SHARE, MOST_COMPARED


def plan_of_fit(problem: Problem, alpha: float | Literal["auto"]) -> Plan:
    """Return the phases of a fit and their epochs; some may turn out not to come."""
    epochs, prune = problem.epochs, problem.prices.prune
    finds = alpha == "auto" and problem.searches
    if not finds and not (alpha == "auto" and problem.chooses):
        sparsifying = [(SPARSIFY[prune], float(epochs.sparsify))]
    else:
        sparsifying = [(SEARCH if finds else CHOOSE, epochs.sparsify)]
        if finds and problem.data.valid is not None:
            compared = math.ceil(epochs.retrain * CONFIRMING_SHARE)
            sparsifying += MOST_COMPARED * [(COMPARE, compared)]
        if prune == "joint":
            of_units = math.ceil(epochs.sparsify * SHARE_FOR_UNITS)
            sparsifying.append((SPARSIFY["weights"], of_units))
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
