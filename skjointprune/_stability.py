"""How often an input is selected when the rows change: stability selection."""

import math
from dataclasses import dataclass, field
from itertools import combinations
from numbers import Integral, Real
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import OneToOneFeatureMixin, clone
from sklearn.model_selection import (
    GroupShuffleSplit,
    ShuffleSplit,
    StratifiedShuffleSplit,
)
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state, indexable
from sklearn.utils.multiclass import type_of_target
from torch.utils.data import Dataset

from ._image_input import labels_of, take
from ._names import input_names
from ._sklearn import (
    HasMethods,
    Interval,
    StrOptions,
    _safe_indexing,
    validate_params,
)


def mean_jaccard(supports) -> float:
    """Return the mean overlap of pairs of sets of inputs; NaN if there is one set.

    The overlap of two is how many inputs both have, over how many either has.
    `supports` are masks, (n_sets, n_features).
    """
    pairs = list(combinations(np.asarray(supports, dtype=bool), 2))
    either = [(a | b).sum() for a, b in pairs]
    both = [(a & b).sum() for a, b in pairs]
    overlaps = [b / e if e else 1.0 for b, e in zip(both, either, strict=True)]
    return float(np.mean(overlaps)) if pairs else math.nan


@dataclass(frozen=True, eq=False)
class StabilitySelection:
    """Which inputs are selected whatever the rows: what `stability_selection` returns.

    Attributes
    ----------
    supports : ndarray of shape (n_resamples, n_features), bool
        The inputs that each fit selected; of neighbours, where they are pairs.
    threshold : float
        The selection probability from which an input is stable.
    resampling : {"complementary_pairs", "subsamples"}
        How rows were drawn.
    sample_fraction : float
        Share of the rows that each fit saw.
    feature_names_in : ndarray of shape (n_features,), or None
        Names of the inputs, where X had names.
    """

    supports: np.ndarray
    threshold: float
    resampling: str
    sample_fraction: float
    feature_names_in: np.ndarray | None = field(default=None)

    @property
    def selection_probabilities(self) -> np.ndarray:
        """Share of the fits that selected each input, (n_features,)."""
        return self.supports.mean(axis=0)

    @property
    def n_selected(self) -> float:
        """How many inputs a fit selected, on average: q in the bounds."""
        return float(self.supports.sum() / len(self.supports))

    @property
    def jaccard(self) -> float:
        """Mean Jaccard overlap of the inputs that two fits selected."""
        return mean_jaccard(self.supports)

    @property
    def low_probability(self) -> float:
        """What counts as a low selection probability in the bounds: q / n_features."""
        return self.n_selected / self.supports[0].size

    @property
    def error_bound(self) -> float:
        """Bound on the expected number of stable inputs that should not be.

        It is *q² / ((2 threshold - 1) n_features)*, and says of complementary pairs,
        whatever the estimator, if rows are drawn independently from one distribution
        (rows that are not, as those of one patient, need `groups`): at most so many of
        the stable inputs are expected to have a low selection probability, of at most
        `low_probability` in one fit to so many rows [1]_ (theorem 1). So it bounds
        false selections where no input of noise is selected more often than an input
        drawn at random would be. For subsamples it bounds the expected number of false
        selections if inputs of noise are selected exchangeably, and the estimator is
        no worse than guessing [2]_ (theorem 1). *q* is estimated by `n_selected`. NaN
        for subsamples of more than half of the rows, for which there is no theory.

        References
        ----------
        .. [1] Shah and Samworth, JRSS B 75 (2013).
        .. [2] Meinshausen and Buhlmann, JRSS B 72 (2010).
        """
        if self.sample_fraction > 0.5:
            return math.nan
        q, share = self.n_selected, self.low_probability
        return share * q / (2 * self._reached_threshold - 1)

    @property
    def unimodal_error_bound(self) -> float:
        """The same as `error_bound` under one more assumption, and tighter.

        It assumes that, for each input of low selection probability, the share of
        pairs of which both fits select the input has a unimodal distribution (Shah
        and Samworth, JRSS B 75 (2013), theorem 2). NaN where the theorem says
        nothing: for subsamples, if `low_probability` is above *1 / sqrt(3)*, or if
        `threshold` is too close to a half, closer than one over the number of pairs.
        """
        if self.resampling != "complementary_pairs":
            return math.nan
        n_pairs = len(self.supports) // 2
        low, reached = self.low_probability, self._reached_threshold
        lowest = 0.5 + min(low**2, 1 / (2 * n_pairs) + 0.75 * low**2)
        too_close = self._needed < n_pairs + 2 or reached <= lowest
        if low > 1 / math.sqrt(3) or too_close:
            return math.nan
        if reached <= 0.75:
            factor = 1 / (2 * (2 * reached - 1 - 1 / (2 * n_pairs)))
        else:
            factor = 4 * (1 - reached + 1 / (2 * n_pairs)) / (1 + 1 / n_pairs)
        return factor * low * self.n_selected

    @property
    def _needed(self) -> int:
        """How many fits must select a stable input."""
        # 0.6 * 50 must not be 31 by rounding
        return math.ceil(self.threshold * len(self.supports) - 1e-9)

    @property
    def _reached_threshold(self) -> float:
        """The threshold in steps of one fit, which gives the same stable inputs."""
        return self._needed / len(self.supports)

    def get_support(self, indices=False):
        """Get which inputs are stable.

        Parameters
        ----------
        indices : bool, default=False
            Whether to return positions instead of a mask.

        Returns
        -------
        ndarray of shape (n_features,), bool, or of shape (n_stable,), int
            The mask, or the positions.
        """
        mask = self.supports.sum(axis=0) >= self._needed
        return np.flatnonzero(mask) if indices else mask

    def get_feature_names_out(self) -> np.ndarray:
        """Get the names of the stable inputs: those of X, or x0, x1, ….

        Returns
        -------
        ndarray of str
            In the order of columns.
        """
        return self._names()[self.get_support(indices=True)]

    def _names(self) -> np.ndarray:
        return input_names(self.supports[0].shape, self.feature_names_in)

    def __repr__(self) -> str:
        stable = self.get_support(indices=True)
        probabilities = self.selection_probabilities.ravel()
        n = len(self.supports)
        lines = [
            f"{len(stable):,} of {self.supports[0].size:,} inputs are stable: selected "
            f"in at least {self._needed} of {n} fits"
        ]
        most = 20
        names = self._names()
        for i in stable[np.argsort(-probabilities[stable], kind="stable")][:most]:
            lines.append(f"  {names[i]!s:<20}{probabilities[i]:>8.2f}")
        if len(stable) > most:
            lines.append(f"  and {len(stable) - most:,} more")
        lines.append(
            f"a fit selected {self.n_selected:.1f}; overlap of two fits (Jaccard) "
            f"{self.jaccard:.2f}"
        )
        bounds = [("", self.error_bound), (", unimodal ", self.unimodal_error_bound)]
        said = [f"{name}{bound:.3g}" for name, bound in bounds if bound == bound]
        lines.append(
            "expected false selections, at most: " + ("".join(said) or "no bound")
        )
        return "\n".join(lines)


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
        Class labels or targets. None takes those of a Dataset.
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
    if y is None and isinstance(X, Dataset):
        y = labels_of(X)
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
    supports = Parallel(n_jobs=n_jobs)(
        delayed(_select)(estimator, X, y, sample_weight, part, seed)
        for part, seed in zip(rows, seeds, strict=True)
    )
    return StabilitySelection(
        np.array(supports), threshold, resampling, sample_fraction, _column_names(X)
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
    estimator = clone(estimator)
    rng = check_random_state(seed)
    for name in sorted(estimator.get_params()):
        if name == "random_state" or name.endswith("__random_state"):
            estimator.set_params(**{name: int(rng.randint(2**31 - 1))})
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


def _column_names(X) -> np.ndarray | None:
    names = np.asarray(getattr(X, "columns", []), dtype=object)
    named = len(names) and all(isinstance(name, str) for name in names)
    return names if named else None
