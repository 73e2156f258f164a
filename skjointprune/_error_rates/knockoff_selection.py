"""`knockoff_selection`: train on inputs and their knockoffs, again and again."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import repeat
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils import check_consistent_length, check_random_state

from .._data.feature_groups import resolve_groups
from .._utils.clones import clone_with_seed
from .._utils.parallel import call_each
from .._utils.sklearn import HasMethods, Interval, StrOptions, validate_params
from .design import DESIGNS, model_design
from .knockoff_result import KnockoffSelection
from .sample import KnockoffSampler
from .table import read_numbers


@validate_params(
    {
        "estimator": [HasMethods(["fit", "get_params"])],
        "fdr": [Interval(Real, 0, 1, closed="neither")],
        "knockoffs": [StrOptions(DESIGNS), "array-like", callable],
        "n_knockoffs": [Interval(Integral, 1, None, closed="left")],
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
        "offset": [Interval(Integral, 0, 1, closed="both")],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
    },
    prefer_skip_nested_validation=True,
)
def knockoff_selection(
    estimator,
    X,
    y,
    *,
    fdr=0.1,
    knockoffs="gaussian",
    n_knockoffs=5,
    n_repeats=10,
    offset=1,
    groups=None,
    sample_weight=None,
    random_state=None,
    n_jobs=None,
):
    """Select inputs at a stated false discovery rate, by knockoffs.

    Each input gets knockoffs: columns that hang together with all others as the input
    does, and say nothing of y [1]_. The estimator is fitted to inputs and knockoffs, in
    random order. An input that says nothing of y, given the others, is worth more than
    its knockoffs only by chance. So the number of knockoffs that are worth more than
    their inputs tells how many of the selected inputs are false.

    Of the inputs that are selected, an expected share of `fdr` at most are false, which
    means that y does not depend on them, given all other inputs. That holds for any
    estimator, any dependence of y on X and any number of rows, if the distribution of X
    is known. Here it is estimated.

    Parameters
    ----------
    estimator : estimator with `feature_importances_` or `coef_`, or Pipeline
        What tells how much inputs are worth: `JointPruneClassifier`, a forest, a lasso.
        It is cloned, and each clone gets a `random_state` of its own, where it has
        one. It is fitted to an array, with `n_knockoffs` + 1 times the columns of X. A
        Pipeline must leave the columns as they are. Networks that keep few inputs tell
        best: see the example.
    X : array-like of shape (n_samples, n_features)
        Rows of finite numbers.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Class labels or targets.
    fdr : float in (0, 1), default=0.1
        False discovery rate: the largest expected share of the selected inputs that
        are false.
    knockoffs : {"gaussian", "ranks"}, array-like or callable, default="gaussian"
        How knockoffs are made. "gaussian" has the means and the correlations of X,
        shrunk where rows are few, as for `p_values`. "ranks" does the same for normal
        scores of ranks, and gives numbers that are in X: for heavy tails and counts. An
        array is knockoffs of shape (n_samples, n_features), for all repeats; or has a
        dimension more in front, (n_repeats, …), or two, (n_repeats, n_knockoffs, …). A
        callable is given X and a seed, and returns (n_samples, n_features) or
        (n_knockoffs, n_samples, n_features) for one repeat.
    n_knockoffs : int, default=5
        Knockoffs of each input [2]_, where `knockoffs` is a name. At least
        *1 / (n_knockoffs fdr)* inputs are selected, or none: with one knockoff, ten at
        a rate of 0.1. More knockoffs are more alike their inputs, and make wider
        networks.
    n_repeats : int, default=10
        How often knockoffs are drawn. Repeats are combined by e-values [3]_, so that
        the result hardly depends on the seed.
    offset : {0, 1}, default=1
        What is added to the number of knockoffs that are worth more. With 0 a modified
        rate is bounded, which is lower where few inputs are selected; only for
        `n_repeats` = 1.
    groups : list of lists, labels, dict, "auto", encoder or None, default=None
        Columns of X, by position or name, that are selected together, as
        `feature_groups` of the estimators: those that hardly differ, or the one-hot
        columns of a category. A group is worth the sum of its columns. (These are not
        groups of rows.)
    sample_weight : array-like of shape (n_samples,) or None, default=None
        Weights of rows for each fit, where given.
    random_state : int, RandomState or None, default=None
        Seed of knockoffs and fits.
    n_jobs : int or None, default=None
        How many fits to run at once, in processes of joblib. The result does not
        depend on it.

    Returns
    -------
    KnockoffSelection
        The selected inputs, statistics and q-values.

    Raises
    ------
    TypeError
        If the estimator, once fitted, has neither `feature_importances_` nor `coef_`.
    ValueError
        If y is None, `knockoffs` have another shape than X, `offset` is 0 with several
        repeats; and what a fit raises.

    References
    ----------
    .. [1] Candes, Fan, Janson, Lv, "Panning for gold: model-X knockoffs for high
       dimensional controlled variable selection", JRSS B 80 (2018).
    .. [2] Gimenez, Zou, "Improving the stability of the knockoff procedure: multiple
       simultaneous knockoffs and entropy maximization", AISTATS (2019).
    .. [3] Ren, Barber, "Derandomised knockoffs: leveraging e-values for false discovery
       rate control", JRSS B 86 (2024).

    Examples
    --------
    >>> from skjointprune import JointPruneRegressor, knockoff_selection
    >>> from skjointprune.datasets import make_planted
    >>> table = make_planted("products", 500, 20, random_state=0)
    >>> few = JointPruneRegressor(
    ...     (64,), prune="inputs", n_features_to_select=12, input_noise=0.5,
    ...     batch_size=64, max_epochs=60, retrain_epochs=20, validation_fraction=0.3,
    ... )
    >>> selection = knockoff_selection(
    ...     few, table.data, table.target, fdr=0.1, n_repeats=3, random_state=0
    ... )
    >>> (selection.support_ == table.support).all()
    np.True_
    """
    if y is None:
        raise ValueError(
            "`knockoff_selection` selects inputs for a target. Got y=None; pass "
            "labels or targets."
        )
    if offset == 0 and n_repeats > 1:
        raise ValueError(
            "Repeats are combined by e-values, which need `offset`=1. Got `offset`=0 "
            f"and `n_repeats`={n_repeats}; change one of them to 1."
        )
    _refuse_params_by_column(estimator)
    # copies of columns have no names that the estimator could know them by
    X, names, labels = read_numbers(X, "`knockoff_selection`", 3)
    check_consistent_length(X, y, sample_weight)
    columns = resolve_groups(groups, X, labels, "groups")
    rng = check_random_state(random_state)
    draw, drawn = _draw(knockoffs, X, n_knockoffs, n_repeats, columns, rng)
    seeds = rng.randint(2**31 - 1, size=n_repeats)
    shared = estimator, X, y, sample_weight, columns, draw
    compared = call_each(_compare, shared, zip(drawn, seeds, strict=True), n_jobs)
    statistics, n_of_each = zip(*compared, strict=True)
    return KnockoffSelection(
        np.array(statistics), fdr, n_of_each[0], int(offset), tuple(columns), names
    )


BY_COLUMN = ("feature_groups", "feature_costs", "categorical_features")


def _refuse_params_by_column(estimator: Any) -> None:
    """Raise ValueError where a parameter of the estimator is by column.

    It is fitted to inputs and knockoffs, which are other columns.
    """
    params = estimator.get_params() if hasattr(estimator, "get_params") else {}
    for name, value in params.items():
        plain = value is None or (isinstance(value, str) and value == "from_dtype")
        if name.rpartition("__")[2] in BY_COLUMN and not plain:
            raise ValueError(
                "`estimator` is fitted to a table of inputs and knockoffs, in which "
                f"columns have other positions. Got `{name}`={value!r}; leave it out, "
                "and name columns that go together by `groups`."
            )


def _draw(
    knockoffs: Any,
    X: np.ndarray,
    n_knockoffs: int,
    n_repeats: int,
    groups: Sequence[np.ndarray],
    rng: np.random.RandomState,
) -> tuple[Callable[[Any], np.ndarray], Iterable[Any]]:
    """Return what makes knockoffs, (n_knockoffs, rows, columns), and of what.

    That is of an item of the second for each repeat.
    """
    if isinstance(knockoffs, str):
        own = check_random_state(rng.randint(2**31 - 1))
        design = model_design(X, knockoffs, own)
        sampler = KnockoffSampler(design, n_knockoffs, groups)
        return sampler.draw, sampler.states(own, n_repeats)
    if callable(knockoffs):
        seeds = rng.randint(2**31 - 1, size=n_repeats)
        return _as_they_are, (
            _of_one_repeat(knockoffs(X, int(seed)), X) for seed in seeds
        )
    given = np.asarray(knockoffs)
    if given.ndim <= 2:
        return partial(_the_same, _of_one_repeat(given, X)), repeat(None, n_repeats)
    if len(given) != n_repeats:
        raise ValueError(
            "`knockoffs` of more than two dimensions must hold one array for each of "
            f"`n_repeats`={n_repeats}. Got {len(given)}; change one of them."
        )
    return _as_they_are, (_of_one_repeat(drawn, X) for drawn in given)


def _as_they_are(knockoffs: np.ndarray) -> np.ndarray:
    return knockoffs


def _the_same(knockoffs: np.ndarray, _: None) -> np.ndarray:
    return knockoffs


def _of_one_repeat(knockoffs: Any, X: np.ndarray) -> np.ndarray:
    """Return knockoffs that a user made as (n_knockoffs, rows, columns)."""
    drawn = np.asarray(knockoffs, dtype=np.float64)
    if drawn.ndim == 2:
        drawn = drawn[None]
    if drawn.ndim != 3 or drawn.shape[1:] != X.shape or not len(drawn):
        raise ValueError(
            f"`knockoffs` of a repeat must have the shape of X, {X.shape}, or that of "
            f"several of it. Got {np.shape(knockoffs)}; make one for each number of X."
        )
    if not np.isfinite(drawn).all():
        raise ValueError("`knockoffs` must be finite. Got NaN or infinity; remove it.")
    return drawn


def _compare(
    estimator: Any,
    X: np.ndarray,
    y: Any,
    sample_weight: Any,
    groups: Sequence[np.ndarray],
    draw: Callable[[Any], np.ndarray],
    drawn: Any,
    seed: int,
) -> tuple[np.ndarray, int]:
    """Fit to inputs and knockoffs; return the statistic of each group.

    That is how much the best of an input and its knockoffs is worth more than the
    second, positive if that is the input. How many knockoffs there are comes second.
    """
    knockoffs = draw(drawn)
    rng = check_random_state(seed)
    copies = np.stack([X, *knockoffs], axis=-1)  # (rows, columns, m + 1)
    n_copies = copies.shape[-1]
    # Places in the network are not alike, so which copy has which is drawn. Groups
    # change places as a whole.
    places = np.empty((X.shape[1], n_copies), dtype=int)
    for group in groups:
        places[group] = rng.permutation(n_copies)
    mixed = np.empty_like(copies)
    np.put_along_axis(mixed, np.broadcast_to(places, copies.shape), copies, axis=2)
    mixed = mixed.reshape(len(X), -1)
    weight = {} if sample_weight is None else {"sample_weight": sample_weight}
    fitted = clone_with_seed(estimator, rng.randint(2**31 - 1)).fit(mixed, y, **weight)
    of_places = _importances(fitted, mixed.shape[1]).reshape(places.shape)
    worth = np.take_along_axis(of_places, places, axis=1)
    of_groups = np.array([worth[group].sum(axis=0) for group in groups])
    second, first = np.sort(of_groups, axis=1)[:, -2:].T
    signs = np.where(of_groups[:, 0] == first, 1, -1)
    return signs * (first - second), len(knockoffs)


def _importances(fitted: Any, n_columns: int) -> np.ndarray:
    """Return how important a fitted estimator says that each column is."""
    if isinstance(fitted, Pipeline):
        fitted = fitted[-1]
    importances = getattr(fitted, "feature_importances_", None)
    if importances is None and hasattr(fitted, "coef_"):
        importances = np.abs(np.atleast_2d(fitted.coef_)).sum(axis=0)
    if importances is None:
        raise TypeError(
            "`estimator` must have `feature_importances_` or `coef_` once fitted. Got "
            f"{type(fitted).__name__}, which has neither; pass one that has."
        )
    importances = np.asarray(importances, dtype=float).ravel()
    if len(importances) != n_columns:
        raise ValueError(
            "`estimator` must tell the importance of each column of X and of its "
            f"knockoffs, {n_columns} in all. Got {len(importances)}; take steps that "
            "select or make columns out of the Pipeline."
        )
    return importances
