"""`JointPruneCV`: how much to prune, chosen by cross-validation along paths."""

from dataclasses import replace
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils import get_tags, indexable
from sklearn.utils.validation import check_is_fitted

from .._data.kinds import kind_of
from .._data.open_table import refuse_streams
from .._data.targets import targets_of
from .._report.html import ReportBelowDiagram
from .._training.progress import Progress
from .._utils.parallel import call_each
from .._utils.seeds import draw_seed
from .._utils.sklearn import (
    Interval,
    StrOptions,
    _fit_context,
)
from .._utils.splits import list_splits
from .base import JointPruneEstimator
from .classifier import JointPruneClassifier
from .delegate import (
    HoldsEstimator,
    attribute_of_estimator,
    method_of_estimator,
    method_where_it_is,
)
from .folds import (
    choose,
    collect_results,
    score_fold,
    standard_errors,
)
from .follow_path import check_alphas, follow_path
from .for_target import ESTIMATORS, default_estimator
from .routing import make_router, request_weights, route
from .survival import JointPruneSurvival


class JointPruneCV(
    HoldsEstimator, MetaEstimatorMixin, ReportBelowDiagram, BaseEstimator
):
    """Choose `alpha` by cross-validation along paths, and fit that network.

    One path is followed on all rows, and one on the training rows of each fold. Points
    of the same number on these paths have about the same size. Each is retrained for an
    eighth of a fit's epochs and scored on the other rows of the fold; a rule chooses a
    point, and that of the path on all rows is retrained for as long as a fit's network.

    Parameters
    ----------
    estimator : estimator of this package or None, default=None
        A JointPruneClassifier, JointPruneRegressor or JointPruneSurvival; its `alpha`
        is not used. None is chosen by y, as by `InputFeatureSelector`, with
        ``random_state=0``; then scikit-learn cannot tell which before `fit`, and
        `cross_val_score` does not stratify its folds.
    alphas : array-like of shape (n_alphas,) or None, default=None
        The points, above 0. None finds them while pruning, on each path: from point to
        point the number of inputs and units falls by about the same ratio.
    n_alphas : int, default=20
        How many points, where `alphas` is None.
    rule : {"best", "one_se"} or float, default="one_se"
        Which point is chosen: the one of the best mean score; or the largest `alpha`
        whose mean score is no more than one standard error, or than this number, below
        the best.
    cv : int, splitter, iterable or None, default=None
        The folds, as elsewhere in scikit-learn; None is five, stratified for a
        classifier.
    scoring : str, callable or None, default=None
        The score, as elsewhere in scikit-learn; None is that of the estimator.
    n_jobs : int or None, default=None
        How many folds to run at once, in processes of joblib.

    Attributes
    ----------
    estimator_ : estimator
        The fitted estimator, whose `alpha` is the one chosen.
    alpha_ : float
        The strength of regularisation that was chosen.
    alphas_ : ndarray of shape (n_alphas,)
        The points of the path on all rows, ascending.
    cv_results_ : dict of ndarrays of shape (n_alphas,)
        "alpha", "split0_test_score", …, "mean_test_score", "std_test_score", and of
        the networks of the folds "mean_inputs", "mean_parameters", "mean_macs", and
        "jaccard", the mean overlap of the inputs of two folds.
    best_index_ : int
        The position of the chosen point.
    n_splits_ : int
        Number of folds.
    jaccard_ : float
        Of `cv_results_`, that of the chosen point: 1 where all folds agree. NaN for
        one fold.
    support_, feature_importances_, module_, report_, …
        As of `estimator_`; all that a fit leaves there is read here as well.
    classes_ : ndarray of shape (n_classes,), or list of ndarray
        Class labels, as of a classifier.
    n_features_in_ : int
        Number of columns of X, or of channels.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where X had names.

    See Also
    --------
    joint_prune_path : The path, without a choice.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from skjointprune import JointPruneClassifier, JointPruneCV
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> clf = JointPruneClassifier(max_epochs=20, retrain_epochs=20, random_state=0)
    >>> cv = JointPruneCV(clf, n_alphas=4, cv=3, rule=0.01).fit(X, y)
    >>> cv.cv_results_["mean_test_score"][cv.best_index_] > 0.9
    np.True_
    """

    _parameter_constraints = {  # noqa: RUF012
        "estimator": [*ESTIMATORS, None],
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

    def __init__(
        self,
        estimator=None,
        *,
        alphas=None,
        n_alphas=20,
        rule="one_se",
        cv=None,
        scoring=None,
        n_jobs=None,
    ):
        self.estimator = estimator
        self.alphas = alphas
        self.n_alphas = n_alphas
        self.rule = rule
        self.cv = cv
        self.scoring = scoring
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, sample_weight=None, **params):
        """Choose how much to prune, and retrain that network of a path on all rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or images
            Training rows; or images, as the estimator takes them.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), or None
            Class labels, an indicator matrix of labels, or targets. None takes those
            of a Dataset of images.
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
        refuse_streams(X, type(self).__name__)
        y = targets_of(X, y)
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is "
                "None."
            )
        X, y, sample_weight = indexable(X, y, sample_weight)
        single = self._estimator_for(X, y)
        scorer = check_scoring(request_weights(single), scoring=self.scoring)
        routed = route(self, sample_weight, params)
        cv = check_cv(self.cv, y, classifier=is_classifier(single))
        folds = list_splits(cv, self.cv, X, y, **routed.splitter.split)

        with Progress(int(single.verbose), "all rows") as progress:
            run = follow_path(
                single,
                X,
                y,
                sample_weight,
                alphas,
                self.n_alphas,
                progress,
                retrained=[],  # the chosen point is, later
            )
        shared = (
            single,
            X,
            y,
            sample_weight,
            alphas,
            self.n_alphas,
            scorer,
            routed.scorer.score,
            progress,
        )
        each = [
            (number, f"fold {number + 1} of {len(folds)}", train, test)
            for number, (train, test) in enumerate(folds)
        ]
        scored = call_each(score_fold, shared, each, self.n_jobs)
        rows, supports = zip(*scored, strict=True)
        table = np.array(rows, dtype=float)  # (folds, points, columns)
        results = collect_results(run.alphas, table, np.array(supports))
        errors = standard_errors(table[:, :, 0])
        best = choose(results["mean_test_score"], errors, self.rule)
        jaccard = float(results["jaccard"][best])
        with progress:
            fit = run.fit_at(best, share=1)
        if len(folds) > 1:
            fit = replace(fit, report=replace(fit.report, jaccard=jaccard))
        self.estimator_ = run.estimator_of(best, fit)
        self.alpha_ = self.estimator_.alpha
        self.alphas_ = run.alphas
        self.cv_results_ = results
        self.best_index_ = best
        self.n_splits_ = len(folds)
        self.jaccard_ = jaccard
        return self

    def _estimator_for(self, X, y) -> JointPruneEstimator:
        """Return the estimator of the path on all rows.

        Groups are found once, as rows of a fold may tell others.
        """
        if self.estimator is None:
            estimator = default_estimator(y)
        else:
            estimator = clone(self.estimator)
        estimator._validate_params()
        if isinstance(estimator.feature_groups, str):
            kind = kind_of(X)
            numeric = estimator._y_numeric
            read = estimator._read_y(y)
            inputs, *_ = kind.check(clone(estimator), X, read, y_numeric=numeric)
            groups = [columns.tolist() for columns in inputs.groups or []]
            estimator.set_params(feature_groups=groups)
        return estimator.set_params(random_state=draw_seed(estimator.random_state))

    def get_metadata_routing(self):
        """Say which metadata `fit` takes, and what it passes on.

        Returns
        -------
        MetadataRouter
            For the splitter and the scorer.
        """
        return make_router(self)

    def predict(self, X):
        """Predict the labels, or the targets, of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or images
            Rows as in `fit`; a frame may lack columns that are not retained.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            As the estimator predicts them.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X lacks a retained column, or one holds infinity. (NaN is a gap.)
        """
        check_is_fitted(self)
        return self.estimator_.predict(X)

    predict_proba = method_where_it_is(JointPruneClassifier.predict_proba)
    predict_log_proba = method_where_it_is(JointPruneClassifier.predict_log_proba)
    predict_survival_function = method_where_it_is(
        JointPruneSurvival.predict_survival_function
    )
    predict_cumulative_hazard_function = method_where_it_is(
        JointPruneSurvival.predict_cumulative_hazard_function
    )
    get_support = method_of_estimator(JointPruneClassifier.get_support)
    get_group_support = method_of_estimator(JointPruneClassifier.get_group_support)
    get_feature_names_out = method_of_estimator(
        JointPruneClassifier.get_feature_names_out
    )
    score = method_of_estimator(JointPruneClassifier.score)

    support_ = attribute_of_estimator("support_")
    feature_importances_ = attribute_of_estimator("feature_importances_")
    feature_importances_se_ = attribute_of_estimator("feature_importances_se_")
    feature_groups_ = attribute_of_estimator("feature_groups_")
    categories_ = attribute_of_estimator("categories_")
    module_ = attribute_of_estimator("module_")
    net_ = attribute_of_estimator("net_")
    history_ = attribute_of_estimator("history_")
    n_iter_ = attribute_of_estimator("n_iter_")
    report_ = attribute_of_estimator("report_")
    classes_ = attribute_of_estimator("classes_")
    unique_times_ = attribute_of_estimator("unique_times_")
    input_shape_ = attribute_of_estimator("input_shape_")
    n_features_in_ = attribute_of_estimator("n_features_in_")
    feature_names_in_ = attribute_of_estimator("feature_names_in_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = getattr(self, "estimator_", self.estimator)
        tags.target_tags.required = True
        if inner is not None:
            of_inner = get_tags(inner)
            tags.estimator_type = of_inner.estimator_type
            tags.classifier_tags = of_inner.classifier_tags
            tags.regressor_tags = of_inner.regressor_tags
            tags.target_tags = of_inner.target_tags
            tags.input_tags = of_inner.input_tags
        return tags
