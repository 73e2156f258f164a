import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from _helpers import RELEVANT
from scipy.sparse import csc_matrix, csr_matrix, issparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectKBest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from skjointprune import InputFeatureSelector, JointPruneClassifier, JointPruneCV


@pytest.fixture(scope="module")
def selector(quick, frame):
    """Three inputs out of a frame; to be read, not to be changed."""
    return InputFeatureSelector(quick(), n_features_to_select=3).fit(*frame)


def assert_unfitted(selector):
    with pytest.raises(NotFittedError):
        check_is_fitted(selector)
    assert not hasattr(selector, "n_features_in_")
    assert not hasattr(selector, "estimator_")


# --- selection -------------------------------------------------------------------


@pytest.fixture(scope="module")
def by_default(planted):
    return InputFeatureSelector(n_features_to_select=3).fit(*planted)


def test_default_estimator_is_the_classifier_and_finds_the_planted(by_default):
    assert isinstance(by_default.estimator_, JointPruneClassifier)
    assert by_default.estimator is None
    assert by_default.get_support(indices=True).tolist() == RELEVANT


def test_default_estimator_prunes_inputs_and_does_not_retrain(by_default):
    params = by_default.estimator_.get_params()
    assert params["prune"] == "inputs"
    assert params["retrain_epochs"] == 0
    assert params["random_state"] == 0


def test_transform_gives_the_selected_columns(selector, planted, frame):
    X, _ = planted
    np.testing.assert_array_equal(selector.transform(frame[0]), X[:, RELEVANT])


def test_support_is_that_of_the_fitted_estimator(selector):
    np.testing.assert_array_equal(
        selector.get_support(), selector.estimator_.get_support()
    )
    assert selector.get_support(indices=True).tolist() == RELEVANT


def test_same_data_gives_the_same_selection(quick, planted):
    supports = [
        InputFeatureSelector(quick(), n_features_to_select=k)
        .fit(*planted)
        .get_support()
        for k in (6, 6)
    ]
    np.testing.assert_array_equal(*supports)


def test_the_given_estimator_is_cloned_and_left_unfitted(quick, planted):
    estimator = quick()
    selector = InputFeatureSelector(estimator, n_features_to_select=3, alpha=0.12)
    selector.fit(*planted)
    assert selector.estimator_ is not estimator
    with pytest.raises(NotFittedError):
        check_is_fitted(estimator)
    assert estimator.n_features_to_select is None
    assert estimator.alpha == 0.02


def test_alpha_and_n_features_override_those_of_the_estimator(quick, planted):
    estimator = quick(alpha=0.12, n_features_to_select=7)
    fitted = InputFeatureSelector(estimator, alpha=0.03, n_features_to_select=0.25)
    params = fitted.fit(*planted).estimator_.get_params()
    assert (params["alpha"], params["n_features_to_select"]) == (0.03, 0.25)
    assert fitted.get_support().sum() == 3


def test_without_overrides_the_estimator_keeps_its_own(quick, planted):
    estimator = quick(alpha=0.12, n_features_to_select=7)
    params = InputFeatureSelector(estimator).fit(*planted).estimator_.get_params()
    assert (params["alpha"], params["n_features_to_select"]) == (0.12, 7)


def test_alpha_governs_how_many_are_selected(quick, planted):
    kept = [
        InputFeatureSelector(quick(), alpha=alpha).fit(*planted).get_support().sum()
        for alpha in (1e-6, 0.12)
    ]
    assert kept == [12, 3]


def test_any_estimator_with_get_support_selects(planted):
    X, y = planted
    kept = InputFeatureSelector(SelectKBest(k=3)).fit(X, y).get_support()
    np.testing.assert_array_equal(kept, SelectKBest(k=3).fit(X, y).get_support())


# --- prefit ----------------------------------------------------------------------


def test_prefit_selects_without_being_fitted(fitted, planted):
    X, _ = planted
    selector = InputFeatureSelector(fitted, prefit=True)
    np.testing.assert_array_equal(selector.transform(X), X[:, RELEVANT])
    assert selector.n_features_in_ == 12
    assert selector.get_feature_names_out().tolist() == ["x1", "x5", "x8"]


def test_prefit_reads_the_estimator_and_does_not_train_it(fitted, planted):
    X, y = planted
    before = pickle.dumps(fitted.module_.state_dict())
    selector = InputFeatureSelector(fitted, prefit=True).fit(X, y)
    assert selector.estimator_ is fitted
    assert pickle.dumps(fitted.module_.state_dict()) == before
    np.testing.assert_array_equal(selector.transform(X), X[:, RELEVANT])


def test_prefit_without_an_estimator_says_so(planted):
    with pytest.raises(ValueError, match=r"prefit.*estimator|estimator.*prefit"):
        InputFeatureSelector(prefit=True).fit(*planted)


def test_prefit_with_an_unfitted_estimator_says_so(quick, planted):
    selector = InputFeatureSelector(quick(), prefit=True)
    with pytest.raises(NotFittedError, match="fit"):
        selector.fit(*planted)
    with pytest.raises(NotFittedError, match="fit"):
        selector.transform(planted[0])


@pytest.mark.parametrize("override", [{"alpha": 0.1}, {"n_features_to_select": 2}])
def test_prefit_cannot_override(fitted, planted, override):
    (name,) = override
    with pytest.raises(ValueError, match=name):
        InputFeatureSelector(fitted, prefit=True, **override).fit(*planted)


def test_prefit_refuses_other_columns(fitted, planted):
    X, y = planted
    selector = InputFeatureSelector(fitted, prefit=True)
    with pytest.raises(ValueError, match=r"\b5 features.*12"):
        selector.fit(X[:, :5], y)
    with pytest.raises(ValueError, match=r"\b5 features.*12"):
        selector.transform(X[:, :5])


# --- the transformer's manners ---------------------------------------------------


def test_names_in_and_out(selector, frame):
    assert selector.feature_names_in_.tolist() == frame[0].columns.tolist()
    assert selector.n_features_in_ == 12
    assert selector.get_feature_names_out().tolist() == ["col1", "col5", "col8"]


def test_names_out_without_names_in_are_positions(by_default):
    assert not hasattr(by_default, "feature_names_in_")
    assert by_default.get_feature_names_out().tolist() == ["x1", "x5", "x8"]


def test_set_output_pandas_keeps_names_index_and_values(quick, frame):
    X, y = frame
    X = X.set_axis(range(100, 100 + len(X)), axis=0)
    selector = InputFeatureSelector(quick(), n_features_to_select=3)
    out = selector.set_output(transform="pandas").fit_transform(X, y)
    pd.testing.assert_frame_equal(out, X[["col1", "col5", "col8"]])


def test_inverse_transform_puts_zeros_where_columns_went(selector, planted, frame):
    X, _ = planted
    expected = np.zeros_like(X)
    expected[:, RELEVANT] = X[:, RELEVANT]
    back = selector.inverse_transform(selector.transform(frame[0]))
    np.testing.assert_array_equal(back, expected)


def test_transform_keeps_the_type_of_numbers(quick, planted):
    X, y = planted
    selector = InputFeatureSelector(quick(), n_features_to_select=3)
    assert selector.fit_transform(X.astype("float32"), y).dtype == np.float32


@pytest.mark.parametrize("make", [clone, lambda s: pickle.loads(pickle.dumps(s))])
def test_copies_keep_parameters(selector, make):
    copied = make(selector)
    assert copied.n_features_to_select == 3
    assert copied.estimator.get_params() == selector.estimator.get_params()


def test_pickle_keeps_the_selection_and_clone_forgets_it(selector, frame):
    loaded = pickle.loads(pickle.dumps(selector))
    np.testing.assert_array_equal(
        loaded.transform(frame[0]), selector.transform(frame[0])
    )
    assert_unfitted(clone(selector))


def test_parameters_of_the_estimator_are_reached(quick, planted):
    selector = InputFeatureSelector(quick())
    selector.set_params(estimator__module__dropout=0.4, n_features_to_select=3)
    assert selector.fit(*planted).estimator_.get_params()["module__dropout"] == 0.4


def test_global_states_are_untouched(quick, planted):
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    InputFeatureSelector(quick(random_state=None)).fit(*planted).transform(planted[0])
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


# --- pipelines and searches ------------------------------------------------------


def test_pipeline_with_another_classifier(quick, frame):
    X, y = frame
    selector = InputFeatureSelector(quick(), n_features_to_select=3)
    pipe = make_pipeline(StandardScaler(), selector, LogisticRegression()).fit(X, y)
    assert pipe.score(X, y) > 0.95
    assert pipe[:-1].get_feature_names_out().tolist() == ["col1", "col5", "col8"]
    assert pipe[-1].coef_.shape == (1, 3)


def test_pipeline_of_selector_and_classifier_is_searched(quick, planted):
    pipe = Pipeline([("select", InputFeatureSelector(quick())), ("clf", quick())])
    grid = {
        "select__alpha": [1e-4, 0.04],
        "clf__module__dropout": [0.1],
    }
    search = GridSearchCV(pipe, grid, cv=2, error_score="raise").fit(*planted)
    kept = search.best_estimator_["select"].get_feature_names_out()
    assert {"x1", "x5", "x8"} <= set(kept)
    assert search.best_estimator_["clf"].n_features_in_ == len(kept)
    assert search.best_score_ > 0.9


def test_cross_val_score_of_a_pipeline(quick, frame):
    selector = InputFeatureSelector(quick(), n_features_to_select=3)
    pipe = make_pipeline(selector, LogisticRegression())
    scores = cross_val_score(pipe, *frame, cv=2, error_score="raise")
    assert (scores > 0.9).all()


def test_selectors_in_sequence(quick, planted):
    X, y = planted
    first, second = (
        InputFeatureSelector(quick(), n_features_to_select=k) for k in (6, 3)
    )
    pipe = make_pipeline(first, second).fit(X, y)
    np.testing.assert_array_equal(pipe.transform(X), X[:, RELEVANT])


# --- weights ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def misleading(planted):
    """Labels that follow column 3 in two thirds of the rows, of weight zero."""
    X, y = planted
    wrong = np.arange(len(y)) % 3 != 0
    weight = np.where(wrong, 0.0, 1.0)
    return X, np.where(wrong, X[:, 3] > 0, y), weight


def test_sample_weight_reaches_the_estimator(quick, misleading):
    X, y, weight = misleading
    selector = InputFeatureSelector(quick(max_epochs=40), n_features_to_select=1)
    assert selector.fit(X, y).get_support(indices=True).tolist() == [3]
    selector.fit(X, y, sample_weight=weight)
    assert selector.get_support(indices=True)[0] in RELEVANT


def test_sample_weight_is_routed_through_a_pipeline(quick, misleading):
    X, y, weight = misleading
    with config_context(enable_metadata_routing=True):
        selector = InputFeatureSelector(quick(max_epochs=40), n_features_to_select=1)
        selector.set_fit_request(sample_weight=True)
        classifier = LogisticRegression().set_fit_request(sample_weight=True)
        pipe = make_pipeline(selector, classifier).fit(X, y, sample_weight=weight)
    assert pipe[0].get_support(indices=True)[0] in RELEVANT


def test_groups_reach_the_folds_of_a_cross_validation(quick, planted):
    X, y = planted
    groups = np.arange(len(X)) % 6
    folds = JointPruneCV(quick(), n_alphas=2, cv=GroupKFold(2))
    selector = InputFeatureSelector(folds).fit(X, y, groups=groups)
    alone = clone(folds).fit(X, y, groups=groups)
    np.testing.assert_array_equal(selector.get_support(), alone.get_support())
    with pytest.raises(ValueError, match="`groups` are for the folds of a JointPrune"):
        InputFeatureSelector(quick()).fit(X, y, groups=groups)


def test_sample_weight_not_asked_for_is_not_routed(quick, misleading):
    X, y, weight = misleading
    with config_context(enable_metadata_routing=True):
        selector = InputFeatureSelector(quick(), n_features_to_select=1)
        selector.set_fit_request(sample_weight=False)
        classifier = LogisticRegression().set_fit_request(sample_weight=True)
        pipe = make_pipeline(selector, classifier).fit(X, y, sample_weight=weight)
    assert pipe[0].get_support(indices=True).tolist() == [3]


# --- bad input -------------------------------------------------------------------


BAD = {
    "infinity": (lambda X, y: (np.where(X > 2, np.inf, X), y), {}, "infinity"),
    "one class": (lambda X, y: (X, y * 0), {}, "class"),
    "lengths": (lambda X, y: (X[:-1], y), {}, "inconsistent"),
    "too many": (
        lambda X, y: (X, y),
        {"n_features_to_select": 13},
        r"n_features_to_select.*\b12\b.*\b13\b",
    ),
    "alpha": (lambda X, y: (X, y), {"alpha": -1.0}, r"alpha.*-1"),
    "estimator": (
        lambda X, y: (X, y),
        {"estimator": LinearRegression()},
        "get_support|estimator",
    ),
}


@pytest.mark.parametrize(("spoil", "params", "match"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused_and_loses_nothing(
    quick, selector, planted, frame, spoil, params, match
):
    data = spoil(*planted)
    fresh = InputFeatureSelector(quick()).set_params(**params)
    with pytest.raises((ValueError, TypeError), match=match):
        fresh.fit(*data)
    assert_unfitted(fresh)
    refitted = copy.deepcopy(selector).set_params(**params)
    with pytest.raises((ValueError, TypeError), match=match):
        refitted.fit(*data)
    assert refitted.n_features_in_ == 12
    np.testing.assert_array_equal(
        refitted.transform(frame[0]), selector.transform(frame[0])
    )


def test_use_before_fit_is_a_not_fitted_error(planted):
    for use in ("transform", "inverse_transform"):
        with pytest.raises(NotFittedError):
            getattr(InputFeatureSelector(), use)(planted[0])
    for use in ("get_support", "get_feature_names_out"):
        with pytest.raises(NotFittedError):
            getattr(InputFeatureSelector(), use)()


def test_transform_of_booleans_and_numbers_gives_numbers(quick, planted):
    X, y = planted
    X = pd.DataFrame(X[:, :4], columns=[*"abcd"]).assign(d=X[:, 3] > 0, c=7)
    for names, kind in (["a", "c", "d"], "f8"), (["c", "d"], "i8"), (["d"], "?"):
        selector = InputFeatureSelector(quick(n_features_to_select=1.0)).fit(
            X[names], y
        )
        assert selector.transform(X[names]).dtype == kind


def test_transform_of_other_columns_is_refused(by_default, planted):
    with pytest.raises(ValueError, match=r"\b4 features.*12"):
        by_default.transform(planted[0][:, :4])


def test_frozen_estimator_is_read_and_not_fitted(fitted, planted):
    X, y = planted
    selector = InputFeatureSelector(FrozenEstimator(fitted)).fit(X[:50], y[:50])
    np.testing.assert_array_equal(selector.get_support(), fitted.get_support())
    assert selector.transform(X).shape == (len(X), 3)


@pytest.mark.parametrize("convert", [csr_matrix, csc_matrix])
def test_sparse_columns_stay_sparse(quick, planted, convert):
    X, y = planted
    selector = InputFeatureSelector(quick(n_features_to_select=3)).fit(convert(X), y)
    kept = selector.transform(convert(X))
    assert issparse(kept)
    np.testing.assert_array_equal(kept.toarray(), X[:, selector.get_support()])
    again = InputFeatureSelector(selector.estimator_, prefit=True).fit(convert(X))
    np.testing.assert_array_equal(again.transform(X), kept.toarray())


def test_a_frame_keeps_its_categories_and_may_lack_what_is_not_retained(quick):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"city": rng.choice(["Oslo", "Rome"], 90), "a": rng.random(90)})
    selector = InputFeatureSelector(quick(n_features_to_select=1))
    selector.set_output(transform="pandas").fit(X, X["city"] == "Oslo")
    for rows in (X, X[["city"]]):
        assert selector.transform(rows)["city"].tolist() == X["city"].tolist()


def test_a_prefit_estimator_that_a_search_has_emptied_is_named(quick, planted):
    X, y = planted
    clf = quick(n_features_to_select=3, max_epochs=2, retrain_epochs=0).fit(X, y)
    emptied = clone(InputFeatureSelector(clf, prefit=True))
    with pytest.raises(NotFittedError, match="FrozenEstimator"):
        emptied.fit(X, y)
    frozen = clone(InputFeatureSelector(FrozenEstimator(clf), prefit=True))
    np.testing.assert_array_equal(frozen.fit(X, y).get_support(), clf.support_)
