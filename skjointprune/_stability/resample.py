"""Fit to many halves of the rows, to see how often an input is selected."""

import math
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import OneToOneFeatureMixin
from sklearn.model_selection import (
    GroupShuffleSplit,
    ShuffleSplit,
    StratifiedShuffleSplit,
)
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state, indexable
from sklearn.utils.multiclass import type_of_target

from .._data.kinds import take
from .._data.open_table import refuse_streams
from .._data.targets import targets_of
from .._utils.clones import clone_with_seed
from .._utils.input_names import names_of_columns
from .._utils.parallel import call_each
from .._utils.sklearn import (
    HasMethods,
    Interval,
    StrOptions,
    _safe_indexing,
    validate_params,
)
from .result import StabilitySelection


@validate_params(
    {
        "estimator": [HasMethods(["fit", "get_params"])],
        "n_resamples": [Interval(Integral, 2, None, closed="left")],
        "sample_fraction": [Interval(Real, 0, 1, closed="neither")],
        "threshold": [Interval(Real, 0.5, 1, closed="right")],
        "resampling": [StrOptions({"complementary_pairs", "subsamples"})],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def stability_selection(
    estimator,
    X,
    y,
    *,
    n_resamples=50,
    sample_fraction=0.5,
    threshold=0.6,
    resampling="complementary_pairs",
    sample_weight=None,
    groups=None,
    n_jobs=None,
    random_state=None,
):
    """Select the inputs that an estimator selects again and again, on other rows.

    The estimator is fitted to many random halves of the rows. The selection
    probability of an input is the share of fits that select it; those above a
    threshold are stable [1]_. With complementary pairs, the default, the two halves of
    a pair have no row in common, which gives a bound on errors that assumes nothing of
    the estimator [2]_. The bound is low where a fit selects few inputs, so ask for few
    (`n_features_to_select`), or a large `alpha`.

    Parameters
    ----------
    estimator : estimator with `get_support`, or Pipeline
        What selects: `JointPruneClassifier`, `InputFeatureSelector`, or a selector of
        scikit-learn. It is cloned, and each clone gets a `random_state` of its own,
        where it has one. A Pipeline must leave the columns as they are, but for
        steps that select.
    X : array-like of shape (n_samples, n_features), or images
        Rows; or images, if the estimator takes them.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), or None
        Class labels or targets. None takes those of a Dataset of
        images.
    n_resamples : int, default=50
        Number of fits, at least 2; with pairs an even number, twice that of pairs.
    sample_fraction : float in (0, 1), default=0.5
        Share of the rows for each fit; with pairs at most a half.
    threshold : float in (0.5, 1], default=0.6
        Selection probability from which an input is stable.
    resampling : {"complementary_pairs", "subsamples"}, default="complementary_pairs"
        Whether fits come in pairs without a common row, or each draws rows anew.
    sample_weight : array-like of shape (n_samples,) or None, default=None
        Weights of rows for each fit, where given; rows are drawn without regard to
        them.
    groups : array-like of shape (n_samples,) or None, default=None
        Labels of rows that must not be split, as those of one patient: they are drawn
        together, and `sample_fraction` is a share of the groups. Without groups,
        classes have the same share in each half, unless one has a single row.
    n_jobs : int or None, default=None
        How many fits to run at once, in processes of joblib. The result does not
        depend on it.
    random_state : int, RandomState or None, default=None
        Seed of the halves and of the fits.

    Returns
    -------
    StabilitySelection
        Selection probabilities, stable inputs, and bounds on false selections.

    Raises
    ------
    TypeError
        If the estimator does not say what it selects, or a step of a Pipeline makes
        other columns.
    ValueError
        If y is None, `n_resamples` or `sample_fraction` does not do for pairs, or no
        row is left for a fit; and what a fit raises.

    References
    ----------
    .. [1] Meinshausen and Buhlmann, "Stability selection", JRSS B 72 (2010).
    .. [2] Shah and Samworth, "Variable selection with error control: another look at
       stability selection", JRSS B 75 (2013).

    Examples
    --------
    >>> from sklearn.feature_selection import SelectKBest
    >>> from skjointprune import stability_selection
    >>> from skjointprune.datasets import make_planted
    >>> table = make_planted("linear", 400, 50, random_state=0)
    >>> stable = stability_selection(
    ...     SelectKBest(k=5), table.data, table.target, random_state=0
    ... )
    >>> (stable.get_support() == table.support).all(), stable.error_bound < 3
    (np.True_, True)
    """
    _check_selects(estimator)
    refuse_streams(X, "`stability_selection`")
    y = targets_of(X, y)
    if y is None:
        raise ValueError(
            "`stability_selection` selects inputs for a target. Got y=None; pass "
            "labels or targets."
        )
    paired = resampling == "complementary_pairs"
    if paired and (n_resamples % 2 or sample_fraction > 0.5):
        raise ValueError(
            "Complementary pairs need an even `n_resamples` and a `sample_fraction` of "
            f"at most 0.5. Got {n_resamples} and {sample_fraction}; change these, or "
            "pass resampling='subsamples'."
        )
    X, y, sample_weight, groups = indexable(X, y, sample_weight, groups)
    rng = check_random_state(random_state)
    rows = _draw(y, groups, n_resamples, sample_fraction, paired, rng)
    seeds = rng.randint(2**31 - 1, size=len(rows))
    shared = estimator, X, y, sample_weight
    supports = call_each(_select, shared, zip(rows, seeds, strict=True), n_jobs)
    return StabilitySelection(
        np.array(supports), threshold, resampling, sample_fraction, names_of_columns(X)
    )


def _draw(y, groups, n_resamples, fraction, paired, rng) -> list[np.ndarray]:
    """Draw the rows of each fit; of pairs, one after the other."""
    n_rows = len(y) if groups is None else len(np.unique(groups))
    size = math.floor(n_rows * fraction + 1e-9)
    if size < 1:
        raise ValueError(
            f"`sample_fraction`={fraction} of {n_rows} rows (or groups) is none. Raise "
            "it, or add rows."
        )
    kind: Any = ShuffleSplit
    if groups is not None:
        kind = GroupShuffleSplit
    elif type_of_target(y) in ("binary", "multiclass"):
        counts = np.unique(np.asarray(y), return_counts=True)[1]
        if counts.min() > 1 and size >= len(counts):
            kind = StratifiedShuffleSplit
    splitter = kind(
        n_splits=n_resamples // 2 if paired else n_resamples,
        train_size=size,
        test_size=size if paired else n_rows - size,
        random_state=rng,
    )
    splits = splitter.split(np.zeros(len(y)), y, groups)
    return [part for split in splits for part in (split if paired else split[:1])]


def _select(estimator, X, y, sample_weight, rows, seed: int) -> np.ndarray:
    """Fit a clone to some rows; return the mask of the inputs it selects."""
    estimator = clone_with_seed(estimator, seed)
    weight = {}
    if sample_weight is not None:
        weight = {"sample_weight": _safe_indexing(sample_weight, rows)}
    fitted = estimator.fit(take(X, rows), _safe_indexing(y, rows), **weight)
    return _read_support(fitted, X)


def _steps(estimator) -> list:
    """Return the steps of a Pipeline, or the estimator, that do something."""
    if not isinstance(estimator, Pipeline):
        return [estimator]
    steps = [step for _, step in estimator.steps]
    return [step for step in steps if step is not None and step != "passthrough"]


def _check_selects(estimator) -> None:
    """Refuse what does not say which columns of X it selects."""
    steps = _steps(estimator)
    selects = [hasattr(step, "get_support") for step in steps]
    if not any(selects):
        raise TypeError(
            "`estimator` must select inputs, and have `get_support`. Got "
            f"{type(estimator).__name__}; wrap it in "
            "sklearn.feature_selection.SelectFromModel."
        )
    last = len(selects) - 1 - selects[::-1].index(True)
    for step in steps[:last]:
        if not hasattr(step, "get_support") and not isinstance(
            step, OneToOneFeatureMixin
        ):
            raise TypeError(
                "A Pipeline must select among the columns of X. Got the step "
                f"{type(step).__name__}, which may make others; apply it to X first."
            )


def _read_support(fitted, X) -> np.ndarray:
    masks = [s.get_support() for s in _steps(fitted) if hasattr(s, "get_support")]
    support = np.array(masks[0], dtype=bool)
    for mask in masks[1:]:
        support[support] = mask  # over the columns that are left
    return support
