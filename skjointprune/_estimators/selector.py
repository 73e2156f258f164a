"""`InputFeatureSelector`: the inputs a pruned network keeps, as a transformer."""

from numbers import Real

import numpy as np
import torch
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.feature_selection import SelectorMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .._data.boxes import read_cropped, smallest_box
from .._data.check_tables import select_columns
from .._data.frames import as_one_array, is_frame
from .._data.image_inputs import ImageInputs
from .._report.html import ReportBelowDiagram
from .._utils.sklearn import HasMethods, Interval, _fit_context, _get_output_config
from .classifier import JointPruneClassifier
from .cross_validation import JointPruneCV
from .delegate import HoldsEstimator
from .for_target import default_estimator
from .prefitted import check_prefitted
from .rollback import all_or_nothing
from .select_by_knockoffs import select_by_knockoffs


def _has_groups(selector) -> bool:
    if selector.fdr is not None:
        return False
    estimator = selector.estimator
    return estimator is None or hasattr(estimator, "get_group_support")


class InputFeatureSelector(
    HoldsEstimator,
    MetaEstimatorMixin,
    SelectorMixin,
    ReportBelowDiagram,
    BaseEstimator,
):
    """Select the inputs that a jointly pruned network keeps.

    Parameters
    ----------
    estimator : estimator with `get_support`, or None, default=None
        What selects; it is cloned unless `prefit`. None is
        ``JointPruneClassifier(prune="inputs", retrain_epochs=0, random_state=0)``, or
        the same `JointPruneRegressor` where y holds numbers, or `JointPruneSurvival`
        where it is a structured array: retraining would not change the selection.
    alpha : "auto", float or None, default=None
        Overrides the estimator's `alpha`, unless None.
    n_features_to_select : int, float in (0, 1] or None, default=None
        Overrides the estimator's `n_features_to_select`, unless None.
    prefit : bool, default=False
        Whether `estimator` is fitted already and is only to be read.
    fdr : float in (0, 1) or None, default=None
        False discovery rate at which to select, by `knockoff_selection` with the
        estimator, and with its `random_state`. Where `estimator` is None, it is a small
        network that keeps few inputs and knockoffs. Nothing may be selected.

    Attributes
    ----------
    estimator_ : estimator
        Without `fdr`: the fitted estimator; with `prefit` the one that was given.
    knockoffs_ : KnockoffSelection
        With `fdr`: statistics and q-values.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where X had names.

    See Also
    --------
    JointPruneClassifier : Selects inputs and is the finished network as well.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from skjointprune import InputFeatureSelector
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> selector = InputFeatureSelector(n_features_to_select=2)
    >>> pipe = make_pipeline(selector, LogisticRegression()).fit(X, y)
    >>> pipe[0].get_support().sum()
    np.int64(2)
    """

    _parameter_constraints = {  # noqa: RUF012
        "estimator": [HasMethods(["fit", "get_support"]), None],
        "alpha": [*JointPruneClassifier._parameter_constraints["alpha"], None],
        "n_features_to_select": JointPruneClassifier._parameter_constraints[
            "n_features_to_select"
        ],
        "prefit": ["boolean"],
        "fdr": [Interval(Real, 0, 1, closed="neither"), None],
    }

    def __init__(
        self,
        estimator=None,
        *,
        alpha=None,
        n_features_to_select=None,
        prefit=False,
        fdr=None,
    ):
        self.estimator = estimator
        self.alpha = alpha
        self.n_features_to_select = n_features_to_select
        self.prefit = prefit
        self.fdr = fdr

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, sample_weight=None, groups=None):
        """Fit the estimator, or read the one that is fitted.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or images
            Training rows, as the estimator takes them.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), or None
            Class labels or targets. None takes those of a Dataset.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Passed to the estimator, where given.
        groups : array-like of shape (n_samples,) or None, default=None
            Groups of rows, which are passed to a `JointPruneCV` for its folds.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If `prefit` meets no estimator or a parameter to override, or `fdr` another
            parameter that says how much to select; if `groups` meet what has no folds;
            and whatever the estimator raises.
        NotFittedError
            If `prefit` and the estimator is not fitted.
        """
        with all_or_nothing(self):
            self._check_fdr()
            if groups is not None and (
                self.prefit or not isinstance(self.estimator, JointPruneCV)
            ):
                raise ValueError(
                    "`groups` are for the folds of a JointPruneCV. Got the estimator "
                    f"{self.estimator!r}; leave them out."
                )
            for name in ("estimator_", "knockoffs_"):  # of an earlier fit
                self.__dict__.pop(name, None)
            if self.prefit:
                self._check_rows(X)
                self.estimator_ = self.estimator
            elif self.fdr is not None:
                self.knockoffs_ = select_by_knockoffs(
                    self.estimator, X, y, self.fdr, sample_weight
                )
            else:
                given = {"sample_weight": sample_weight, "groups": groups}
                params = {k: v for k, v in given.items() if v is not None}
                self.estimator_ = self._new_estimator(y).fit(X, y, **params)
        return self

    def transform(self, X):
        """Reduce X to the retained inputs.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or images
            Rows as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_retained), or of images
            The retained columns; or smaller images, of the retained channels, rows and
            columns, in which what else is not retained is 0.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X lacks a retained column, or has images of another shape; or if
            images were to be returned as frames.
        """
        check_is_fitted(self)
        support = self.get_support()
        if support.ndim == 1:
            kept = self._select(X)
            container = _get_output_config("transform", self)["dense"]
            if is_frame(kept) and container == "default":
                return as_one_array(kept)
            return kept
        container = _get_output_config("transform", self)["dense"]
        if container != "default":
            raise ValueError(
                f"Images do not fit in a frame. Got the output {container!r}; call "
                "`set_output(transform='default')`."
            )
        X = ImageInputs(support.shape).check_rows(self, X)
        return torch.cat([*read_cropped(X, support)]).numpy()

    def inverse_transform(self, X):
        """Put what `transform` returned back in place, with zeros for what went.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_retained), or images
            As `transform` returns them.

        Returns
        -------
        ndarray of shape (n_samples, n_features), or of images

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X has another shape than `transform` returns.
        """
        check_is_fitted(self)
        support = self.get_support()
        if support.ndim == 1:
            return super().inverse_transform(X)
        X, box = np.asarray(X), smallest_box(support)
        shape = tuple(map(len, box))
        if X.shape[1:] != shape:
            raise ValueError(
                f"X must hold images of shape {shape}, as `transform` returns them. "
                f"Got {X.shape[1:]}; transform them first."
            )
        whole = np.zeros((len(X), *support.shape), dtype=X.dtype)
        whole[np.ix_(np.arange(len(X)), *box)] = X
        return whole

    def get_support(self, indices=False):
        """Get which inputs are retained.

        Parameters
        ----------
        indices : bool, default=False
            Whether to return positions instead of a mask.

        Returns
        -------
        ndarray of bool, or of int
            As the estimator's.

        Raises
        ------
        NotFittedError
            Before `fit`.
        """
        check_is_fitted(self)
        mask = self._get_support_mask()
        return np.flatnonzero(mask) if indices else mask

    def get_feature_names_out(self, input_features=None):
        """Get the names of the retained inputs.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of all columns; None takes `feature_names_in_`, or x0, x1, ….
            Numbers of images are x0_1_2, of channel, row and column.

        Returns
        -------
        ndarray of str
            Names of the retained inputs.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If `input_features` are others than in `fit`.
        """
        check_is_fitted(self)
        if self._get_support_mask().ndim > 1:
            return self._source.get_feature_names_out(input_features)
        return super().get_feature_names_out(input_features)

    def _check_fdr(self):
        others = self._overrides() | ({"prefit": True} if self.prefit else {})
        if self.fdr is not None and others:
            raise ValueError(
                f"`fdr` says how much to select, by fits of its own. Got {others} as "
                "well; leave these out, or `fdr` at None."
            )

    def _check_rows(self, X):
        """Refuse rows of another shape than the fitted estimator selects from."""
        support = self.get_support()
        if support.ndim == 1:
            self._select(X)
        else:
            ImageInputs(support.shape).check_rows(self, X)

    def _select(self, X):
        """Return the retained columns of a table."""
        names = getattr(self, "feature_names_in_", None)
        return select_columns(self, X, names, self.get_support(indices=True))

    def _new_estimator(self, y):
        """Make the estimator to fit, with the parameters that override its own."""
        if self.estimator is not None:
            estimator = clone(self.estimator)
            path = getattr(self.estimator, "checkpoint", None)
            if path is not None:  # a clone has none, and this is the only one
                estimator.set_params(checkpoint=path)
        else:
            estimator = default_estimator(y, prune="inputs", retrain_epochs=0)
        overrides = self._overrides()
        if overrides:
            estimator.set_params(**overrides)
        return estimator

    def _overrides(self) -> dict:
        given = {
            "alpha": self.alpha,
            "n_features_to_select": self.n_features_to_select,
        }
        return {name: value for name, value in given.items() if value is not None}

    @property
    def _source(self):
        """The estimator that says what is selected, once there is one."""
        if self.prefit:
            return check_prefitted(self.estimator, self._overrides())
        return self.estimator_ if self.fdr is None else self.knockoffs_

    @property
    def n_features_in_(self):
        """Number of columns of X."""
        return self._source.n_features_in_

    @property
    def feature_names_in_(self):
        """Names of the columns, where X had names."""
        return self._source.feature_names_in_

    def __sklearn_is_fitted__(self):
        if not self.prefit:
            return hasattr(self, "estimator_" if self.fdr is None else "knockoffs_")
        return check_prefitted(self.estimator, self._overrides()) is not None

    @available_if(_has_groups)
    def get_group_support(self, indices=False):
        """Get which groups of inputs are retained, where the estimator has groups.

        Parameters
        ----------
        indices : bool, default=False
            Whether to return positions instead of a mask.

        Returns
        -------
        ndarray of shape (n_groups,), bool, or of shape (n_retained,), int
            As the estimator's.

        Raises
        ------
        NotFittedError
            Before `fit`.
        """
        check_is_fitted(self)
        return self._source.get_group_support(indices=indices)

    def _get_support_mask(self):
        check_is_fitted(self)
        return self._source.get_support()

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.allow_nan = tags.input_tags.sparse = self.fdr is None
        return tags

    def _report_html(self) -> str:
        if self.fdr is not None and hasattr(self, "knockoffs_"):
            return self.knockoffs_._repr_html_()
        return super()._report_html()
