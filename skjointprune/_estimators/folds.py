"""Folds of cross-validation: a path for each, its scores, and the choice of a point."""

from typing import Any

import numpy as np
from sklearn.base import clone

from .._data.kinds import take
from .._utils.overlap import mean_jaccard
from .._utils.sklearn import _safe_indexing
from .base import JointPruneEstimator
from .follow_path import RETRAIN_SHARE, follow_path


def estimator_of_fold(single: JointPruneEstimator, number: int) -> JointPruneEstimator:
    """Return the estimator of a fold's path."""
    # A seed of its own, or folds would agree by their first weights.
    changed: dict[str, Any] = {"random_state": single.random_state + 1 + number}
    if not single.callbacks:  # which may watch rows that are held out
        changed["validation_fraction"] = None
    return clone(single).set_params(**changed)


def score_fold(
    single,
    X,
    y,
    sample_weight,
    alphas,
    n_alphas,
    scorer,
    score_params,
    progress,
    number,
    label,
    train,
    test,
) -> tuple[list[tuple[float, int, int, int]], list[np.ndarray]]:
    """Follow a fold's path.

    Returns score, inputs, parameters and MACs of each point, and its support.
    """
    X_train, y_train = take(X, train), _safe_indexing(y, train)
    X_test, y_test = take(X, test), _safe_indexing(y, test)
    weight = None if sample_weight is None else _safe_indexing(sample_weight, train)
    score_params = {k: _safe_indexing(v, test) for k, v in score_params.items()}
    rows, supports = [], []
    of_fold = estimator_of_fold(single, number)
    with progress.named(label) as line:
        run = follow_path(of_fold, X_train, y_train, weight, alphas, n_alphas, line)
        for number in range(len(run.points)):
            fit = run.fit_at(number, RETRAIN_SHARE)
            fitted = run.estimator_of(number, fit)
            score = scorer(fitted, X_test, y_test, **score_params)
            size = fit.report.pruned
            rows.append((score, size.inputs, size.parameters, size.macs))
            supports.append(fit.support)
    return rows, supports


def collect_results(
    alphas: np.ndarray, table: np.ndarray, supports: np.ndarray
) -> dict[str, np.ndarray]:
    """Name the columns of what `score_fold` returned for each fold.

    `supports` are masks, (folds, points, inputs).
    """
    scores = table[:, :, 0]
    results = {f"split{i}_test_score": row for i, row in enumerate(scores)}
    means = table.mean(axis=0)
    return {
        "alpha": alphas,
        **results,
        "mean_test_score": means[:, 0],
        "std_test_score": scores.std(axis=0),
        "mean_inputs": means[:, 1],
        "mean_parameters": means[:, 2],
        "mean_macs": means[:, 3],
        "jaccard": np.array([mean_jaccard(s) for s in supports.swapaxes(0, 1)]),
    }


def standard_errors(scores: np.ndarray) -> np.ndarray:
    """Return the standard errors of means over folds, of scores (folds, points)."""
    n = len(scores)
    return scores.std(axis=0, ddof=min(1, n - 1)) / np.sqrt(n)


def choose(scores: np.ndarray, errors: np.ndarray, rule) -> int:
    """Return the position of the chosen point, given ones of falling size.

    `scores` are means over folds, `errors` their standard errors. What could not be
    scored in all folds is not chosen.
    """
    if np.isnan(scores).all():
        raise ValueError(
            "No point of the path has a score in every fold. Choose a `scoring` that "
            "is defined for all folds, or a `cv` whose folds hold all classes."
        )
    best = int(np.nanargmax(scores))
    if rule == "best":
        return best
    loss = errors[best] if rule == "one_se" else rule
    return int(np.flatnonzero(scores >= scores[best] - loss).max())
