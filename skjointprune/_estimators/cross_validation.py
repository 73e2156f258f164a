"""How much to prune, chosen by cross-validation along paths."""

from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils import Bunch, indexable
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    process_routing,
)
from sklearn.utils.validation import validate_data

from .._data.feature_groups import resolve_groups
from .._data.targets import take, targets_of
from .._utils.overlap import mean_jaccard
from .._utils.seeds import draw_seed
from .._utils.sklearn import (
    Interval,
    StrOptions,
    _fit_context,
    _routing_enabled,
    _safe_indexing,
)
from .base import JointPruneEstimator
from .path import RETRAIN_SHARE, PathRun, check_alphas


class PathCV(JointPruneEstimator):
    """A path for each fold and one on all rows, of which a rule chooses a point.

    `_single` is the estimator that is fitted; its parameters are ours, but for the
    strength of regularisation.
    """

    _own_constraints: ClassVar[dict] = {
        "alphas": ["array-like", None],
        "n_alphas": [Interval(Integral, 1, None, closed="left")],
        "rule": [
            StrOptions({"best", "one_se"}),
            Interval(Real, 0, None, closed="left"),
        ],
        "cv": ["cv_object"],
        "scoring": [str, callable, None],
        "n_jobs": [Integral, None],
    }
    _single: type[JointPruneEstimator]
    alphas: Any
    n_alphas: int
    rule: str | float
    cv: Any
    scoring: Any
    n_jobs: int | None
    random_state: Any
    callbacks: Any
    feature_groups: Any

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None, **params):
        """Choose how much to prune, and retrain that network of a path on all rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or images
            Training rows; or images, as the estimator without cross-validation takes
            them.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), or None
            Class labels, an indicator matrix of labels, or targets. None takes those
            of a Dataset.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weights of rows, in training and in the default score.
        **params : dict
            For the splitter and the scorer by metadata routing; `groups` goes to the
            splitter without it as well.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If `alphas` holds a number that is not above 0, and what a path raises.
        """
        alphas = check_alphas(self.alphas)
        y = targets_of(X, y)
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is "
                "None."
            )
        X, y, sample_weight = indexable(X, y, sample_weight)
        seed = draw_seed(self.random_state)
        shared = {"random_state": seed, "feature_groups": self._find_groups(X)}
        single = self._make_single(**shared)
        scorer = check_scoring(self._scored(), scoring=self.scoring)
        routed = self._route(sample_weight, params)
        cv = check_cv(self.cv, y, classifier=is_classifier(self))
        folds = list(cv.split(X, y, **routed.splitter.split))

        run = PathRun.of(single, X, y, sample_weight, alphas, self.n_alphas)
        # All rows of a fold are for training, unless a callback may watch others.
        of_fold = {} if self.callbacks else {"validation_fraction": None}
        scored = Parallel(n_jobs=self.n_jobs)(
            delayed(_score_fold)(
                # A seed of its own, or folds would agree by their first weights.
                self._make_single(
                    **(shared | of_fold | {"random_state": seed + 1 + number})
                ),
                X,
                y,
                sample_weight,
                train,
                test,
                alphas,
                self.n_alphas,
                scorer,
                routed.scorer.score,
            )
            for number, (train, test) in enumerate(folds)
        )
        rows, supports = zip(*scored, strict=True)
        table = np.array(rows, dtype=float)  # (folds, points, columns)
        found = np.array([point.alpha for point in run.points])
        results = _collect(found, table, np.array(supports))
        errors = standard_errors(table[:, :, 0])
        best = choose(results["mean_test_score"], errors, self.rule)
        chosen = run.retrained(run.points[best], share=1)
        fitted = {k: v for k, v in vars(chosen).items() if k not in chosen.get_params()}
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)
        for name, value in fitted.items():
            setattr(self, name, value)
        self.alpha_ = chosen.alpha
        self.alphas_ = found
        self.cv_results_ = results
        self.best_index_ = best
        self.n_splits_ = len(folds)
        self.jaccard_ = float(results["jaccard"][best])
        if len(folds) > 1:
            self.report_ = replace(self.report_, jaccard=self.jaccard_)
        return self

    def _make_single(self, **changed) -> JointPruneEstimator:
        single = self._single()
        known = single.get_params()
        own = self.get_params(deep=False)
        shared = {
            name: value for name, value in own.items() if name in known or "__" in name
        }
        return single.set_params(**(shared | changed))

    def _find_groups(self, X):
        """Resolve groups once, as rows of a fold may tell others."""
        if not isinstance(self.feature_groups, str):
            return self.feature_groups
        probe = self._single()
        checked = validate_data(probe, X, dtype=[np.float64, np.float32])
        names = getattr(probe, "feature_names_in_", None)
        groups = resolve_groups(self.feature_groups, checked, names)
        return [columns.tolist() for columns in groups]

    def _scored(self) -> JointPruneEstimator:
        """Return an estimator whose own score, the default one, takes weights."""
        single = self._single()
        if _routing_enabled():
            single.set_score_request(sample_weight=True)
        return single

    def _route(self, sample_weight, params) -> Bunch:
        """Say what the splitter and the scorer are given."""
        if _routing_enabled():
            if sample_weight is not None:
                params = params | {"sample_weight": sample_weight}
            return process_routing(self, "fit", **params)
        unknown = set(params) - {"groups"}
        if unknown:
            raise TypeError(
                f"`fit` got {sorted(unknown)}. Enable metadata routing "
                "(`sklearn.set_config(enable_metadata_routing=True)`) to pass it on."
            )
        score = {}
        if sample_weight is not None and self.scoring is None:
            score = {"sample_weight": sample_weight}
        return Bunch(splitter=Bunch(split=params), scorer=Bunch(score=score))

    def get_metadata_routing(self):
        """Say which metadata `fit` takes, and what it passes on.

        Returns
        -------
        MetadataRouter
            For the splitter and the scorer.
        """
        scorer = check_scoring(self._scored(), scoring=self.scoring)
        return (
            MetadataRouter(owner=self)
            .add_self_request(self)
            .add(
                splitter=check_cv(self.cv),
                method_mapping=MethodMapping().add(caller="fit", callee="split"),
            )
            .add(
                scorer=scorer,
                method_mapping=MethodMapping().add(caller="fit", callee="score"),
            )
        )


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


def _score_fold(
    single, X, y, sample_weight, train, test, alphas, n_alphas, scorer, score_params
) -> tuple[list[tuple[float, int, int, int]], list[np.ndarray]]:
    """Follow a fold's path.

    Returns score, inputs, parameters and MACs of each point, and its support.
    """
    X_train, y_train = take(X, train), _safe_indexing(y, train)
    X_test, y_test = take(X, test), _safe_indexing(y, test)
    weight = None if sample_weight is None else _safe_indexing(sample_weight, train)
    score_params = {k: _safe_indexing(v, test) for k, v in score_params.items()}
    rows, supports = [], []
    run = PathRun.of(single, X_train, y_train, weight, alphas, n_alphas)
    for point in run.points:
        fitted = run.retrained(point, RETRAIN_SHARE)
        size = fitted.report_.pruned
        score = scorer(fitted, X_test, y_test, **score_params)
        rows.append((score, size.inputs, size.parameters, size.macs))
        supports.append(fitted.support_)
    return rows, supports


def _collect(
    alphas: np.ndarray, table: np.ndarray, supports: np.ndarray
) -> dict[str, np.ndarray]:
    """Name the columns of what `_score_fold` returned for each fold.

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
        "jaccard": np.array([mean_jaccard(of) for of in supports.swapaxes(0, 1)]),
    }
