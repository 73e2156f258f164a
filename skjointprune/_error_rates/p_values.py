"""`p_values`: what held-out rows lose where an input is drawn anew, given others."""

from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from scipy.special import stdtr
from sklearn.base import is_classifier
from sklearn.model_selection import check_cv
from sklearn.utils import check_consistent_length, check_random_state

from .._data.feature_groups import resolve_groups
from .._data.frames import maker_like
from .._data.survival import holds_survival
from .._utils.clones import clone_with_seed
from .._utils.parallel import call_each
from .._utils.sklearn import (
    HasMethods,
    Interval,
    StrOptions,
    _safe_indexing,
    validate_params,
)
from .._utils.splits import list_splits
from .design import DESIGNS, Design, model_design
from .p_values_result import InputPValues
from .table import read_numbers

MOST_NUMBERS = 2**24  # of rows that are predicted at once


@validate_params(
    {
        "estimator": [HasMethods(["fit", "predict"])],
        "cv": ["cv_object"],
        "conditional": [StrOptions(DESIGNS)],
        "n_permutations": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
    },
    prefer_skip_nested_validation=True,
)
def p_values(
    estimator,
    X,
    y,
    *,
    cv=5,
    conditional="gaussian",
    n_permutations=20,
    groups=None,
    random_state=None,
    n_jobs=None,
):
    """Test of each input whether y depends on it, given all other inputs.

    The estimator is fitted to all folds but one, and predicts the rows of that one: as
    they are, and with one input drawn anew. What is drawn is what the other inputs tell
    of this one, plus the rest of another row (conditional permutation importance
    [1]_, [2]_). Where y does not depend on the input, given the others, the one is
    predicted as well as the other. The p-value is that of a one-sided t-test over rows
    that the loss does not rise.

    It assumes that a Gaussian model tells what the inputs say of one another, and that
    rows are independent. That rows of different folds share training rows is left out
    of account.

    Parameters
    ----------
    estimator : estimator with `predict`, or Pipeline
        It is cloned, and each clone gets a `random_state` of its own, where it has one.
        Where it has `get_support`, inputs that a fit does not keep cost no time. It is
        given frames where X is one.
    X : array-like of shape (n_samples, n_features)
        Rows of finite numbers.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Class labels or targets.
    cv : int, splitter or iterable, default=5
        Folds, as in scikit-learn; those of a number are drawn.
    conditional : {"gaussian", "ranks"}, default="gaussian"
        What the inputs say of one another: by their correlations; or by those of normal
        scores of ranks, for heavy tails and counts. With fewer than eight times as many
        rows as columns they are shrunk, by as much as makes other rows likeliest. An
        input that others tell wholly has a p-value of 1.
    n_permutations : int, default=20
        How often an input is drawn anew. More make the test a little more powerful.
    groups : list of lists, labels, dict, "auto", encoder or None, default=None
        Columns of X, by position or name, that are tested together, as
        `feature_groups` of the estimators. (These are not groups of rows.)
    random_state : int, RandomState or None, default=None
        Seed of folds, fits and permutations.
    n_jobs : int or None, default=None
        How many folds to run at once, in processes of joblib. The result does not
        depend on it.

    Returns
    -------
    InputPValues
        p-values and importances; it selects at a rate of errors.

    Raises
    ------
    ValueError
        If y is None or holds events and times, or X holds other than finite numbers;
        and what a fit raises.

    References
    ----------
    .. [1] Chamma, Engemann, Thirion, "Statistically valid variable importance
       assessment through conditional permutations", NeurIPS (2023); as CFI in
       hidimstat.
    .. [2] Tansey, Veitch, Zhang, Rabadan, Blei, "The holdout randomization test for
       feature selection in black box models", JCGS 31 (2022).

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from skjointprune import p_values
    >>> from skjointprune.datasets import make_planted
    >>> table = make_planted("heavy_tails", 300, 20, random_state=0)
    >>> found = p_values(LinearRegression(), table.data, table.target, random_state=0)
    >>> (found.fdr_selection(0.1) == table.support).all()
    np.True_
    """
    if y is None:
        raise ValueError(
            "`p_values` tests inputs for a target. Got y=None; pass labels or targets."
        )
    if holds_survival(y) or hasattr(estimator, "predict_survival_function"):
        raise ValueError(
            "`p_values` compares losses of single rows, which events and times do not "
            f"have. Got them in y, a {type(y).__name__}; use `knockoff_selection`."
        )
    as_given = maker_like(X)
    X, names, labels = read_numbers(X, "`p_values`", 4)
    check_consistent_length(X, y)
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] == 1:  # what is predicted may have one dimension
        y = y[:, 0]
    scale = np.ones(())
    if not is_classifier(estimator):  # each target counts, whatever its unit
        scale = np.std(y, axis=0, dtype=np.float64)
        scale = np.where(scale > 0, scale, 1.0)
    columns = resolve_groups(groups, X, labels, "groups")
    rng = check_random_state(random_state)
    design = model_design(X, conditional, rng)
    folds = check_cv(cv, y, classifier=is_classifier(estimator))
    if isinstance(cv, Integral) or cv is None:
        folds.shuffle, folds.random_state = True, rng.randint(2**31 - 1)
    splits = list_splits(folds, cv, X, y)
    seeds = rng.randint(2**31 - 1, size=len(splits))
    shared = estimator, X, as_given, y, scale, design, columns, n_permutations
    each = zip(splits, seeds, strict=True)
    of_folds = call_each(_losses_more, shared, each, n_jobs)
    return InputPValues(*_test(np.vstack(of_folds)), tuple(columns), names)


def _losses_more(
    estimator: Any,
    X: np.ndarray,
    as_given: Callable[[np.ndarray], Any],
    y: np.ndarray,
    scale: np.ndarray,
    design: Design,
    groups: Sequence[np.ndarray],
    n_permutations: int,
    split: tuple[np.ndarray, np.ndarray],
    seed: int,
) -> np.ndarray:
    """Return the loss more of each held-out row, with each group drawn anew."""
    train, test = split
    rng = check_random_state(seed)
    fitted = clone_with_seed(estimator, rng.randint(2**31 - 1)).fit(
        as_given(X[train]), _safe_indexing(y, train)
    )
    read = np.ones(X.shape[1], dtype=bool)
    if hasattr(fitted, "get_support"):
        read = fitted.get_support()
    rows, target = X[test], y[test]
    before = _losses(fitted, as_given(rows), target, scale)
    more = np.zeros((len(test), len(groups)))
    at_once = max(1, MOST_NUMBERS // rows.size)
    for g, group in enumerate(groups):
        if not read[group].any() or design.is_told(group):
            continue
        for first in range(0, n_permutations, at_once):
            n = min(at_once, n_permutations - first)
            changed = np.tile(rows, (n, 1, 1))
            changed[:, :, group] = design.drawn_anew(group, test, n, rng)
            drawn = changed.reshape(-1, X.shape[1])
            targets = np.concatenate(n * [target])
            losses = _losses(fitted, as_given(drawn), targets, scale)
            more[:, g] += (losses.reshape(n, -1) - before).sum(axis=0)
    return more / n_permutations


def _losses(fitted: Any, X: Any, y: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return the loss of each row: a cross-entropy, a miss, or a squared error.

    Errors are those of targets that are divided by `scale`.
    """
    if not is_classifier(fitted):
        errors = ((np.asarray(fitted.predict(X)) - y) / scale) ** 2
        return errors.reshape(len(y), -1).sum(axis=1)
    if y.ndim > 1 or not hasattr(fitted, "predict_proba"):
        missed = np.asarray(fitted.predict(X)) != y
        return missed.reshape(len(y), -1).mean(axis=1)
    probabilities = np.asarray(fitted.predict_proba(X), dtype=np.float64)
    at = np.minimum(np.searchsorted(fitted.classes_, y), len(fitted.classes_) - 1)
    own = np.take_along_axis(probabilities, at[:, None], axis=1)[:, 0]
    own[fitted.classes_[at] != y] = 0  # a class that is not in the other folds
    return -np.log(own.clip(min=np.finfo(np.float32).eps))


def _test(more: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean, its standard error and one-sided p-value of each column."""
    n = len(more)
    mean, error = more.mean(axis=0), more.std(axis=0, ddof=1) / np.sqrt(n)
    p = np.ones(len(mean))  # of what no fit reads
    varies = error > 0
    p[varies] = stdtr(n - 1, -mean[varies] / error[varies])
    return p, mean, error
