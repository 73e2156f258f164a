import pickle

import joblib
import numpy as np
import pytest
import skops.io
import torch
from _helpers import (
    RELEVANT,
    assert_same,
    assert_same_estimator,
    cross_validated,
    passed_through,
)
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import VarianceThreshold
from sklearn.pipeline import make_pipeline
from torch import nn

from skjointprune import (
    ImageInput,
    InputFeatureSelector,
    JointPruneClassifier,
    JointPruneRegressor,
    joint_prune_path,
    load,
    save,
)

SMALL = {"alpha": 0.02, "max_epochs": 2, "retrain_epochs": 1, "random_state": 0}

# --- what comes back


def test_classifier_comes_back(joint, planted, tmp_path):
    assert_same_estimator(joint, passed_through(joint, tmp_path), planted[0])


def test_names_of_columns_and_text_labels_come_back(quick, frame, tmp_path):
    X, y = frame
    clf = quick(n_features_to_select=3).fit(X, y)
    loaded = passed_through(clf, tmp_path)
    assert_same_estimator(clf, loaded, X)
    assert list(loaded.get_feature_names_out()) == [f"col{i}" for i in RELEVANT]
    with pytest.raises(ValueError, match="feature names"):
        loaded.predict(X[X.columns[::-1]])


@pytest.mark.parametrize("n_targets", [1, 2])
@pytest.mark.parametrize("offset", [0.0, 1e6], ids=["float32", "float64"])
def test_regressor_comes_back(planted, tmp_path, n_targets, offset):
    X, _ = planted
    y = X[:, 0] if n_targets == 1 else X[:, :2]
    reg = JointPruneRegressor((4,), loss="huber", **SMALL).fit(X, y + offset)
    loaded = passed_through(reg, tmp_path)
    assert_same_estimator(reg, loaded, X)
    assert loaded.predict(X).shape == y.shape
    assert next(loaded.module_.parameters()).dtype == (
        torch.float64 if offset else torch.float32
    )


@pytest.mark.parametrize("kind", [JointPruneClassifier, JointPruneRegressor])
def test_cross_validated_comes_back(planted, tmp_path, kind):
    X, y = planted
    sizes = {"hidden_layer_sizes": (4,), "max_epochs": 2, "retrain_epochs": 1}
    cv = cross_validated(kind, **sizes, alphas=[0.01, 0.1], cv=2).fit(X, y)
    loaded = passed_through(cv, tmp_path)
    assert type(loaded) is type(cv)
    for name in vars(cv).keys() - {"estimator", "estimator_"}:
        assert_same(getattr(cv, name), getattr(loaded, name))
    assert loaded.estimator.get_params() == cv.estimator.get_params()
    assert_same_estimator(cv.estimator_, loaded.estimator_, X)
    assert loaded.cv_results_.keys() == cv.cv_results_.keys()


@pytest.mark.parametrize("prefit", [False, True])
@pytest.mark.parametrize("names", [False, True])
def test_selector_comes_back(frame, tmp_path, prefit, names):
    X, y = frame
    X = X if names else X.to_numpy()
    inner = JointPruneClassifier((4,), n_features_to_select=3, **SMALL)
    if prefit:
        inner.fit(X, y)
    selector = InputFeatureSelector(inner, prefit=prefit).fit(X, y)
    if names:
        selector.set_output(transform="pandas")
    loaded = passed_through(selector, tmp_path)
    assert type(loaded) is InputFeatureSelector
    assert hasattr(loaded, "feature_names_in_") == names
    assert loaded.get_support().sum() == 3
    assert_same(selector.get_group_support(), loaded.get_group_support())
    assert_same(selector.get_feature_names_out(), loaded.get_feature_names_out())
    assert np.asarray(selector.transform(X) == loaded.transform(X)).all()
    assert type(selector.transform(X)) is type(loaded.transform(X))
    assert (loaded.estimator_ is loaded.estimator) == prefit
    assert_same_estimator(selector.estimator_, loaded.estimator_, X)
    if not prefit:
        assert_same(clone(loaded).fit(X, y).get_support(), selector.get_support())


def test_selectors_without_an_estimator_or_a_fit_of_their_own_come_back(
    fitted, planted, tmp_path
):
    X, _ = planted
    by_default = InputFeatureSelector(alpha=0.1)
    by_default.estimator_ = fitted
    for selector in (by_default, InputFeatureSelector(fitted, prefit=True)):
        loaded = passed_through(selector, tmp_path)
        np.testing.assert_array_equal(selector.transform(X), loaded.transform(X))
        assert loaded.alpha == selector.alpha


@pytest.mark.parametrize("names", [False, True])
def test_selection_at_a_rate_comes_back(frame, tmp_path, names):
    X, y = frame
    X = X if names else X.to_numpy()
    inner = JointPruneClassifier((4,), n_features_to_select=8, **SMALL)
    selector = InputFeatureSelector(inner, fdr=0.3).fit(X, y)
    loaded = passed_through(selector, tmp_path)
    assert loaded.get_params()["fdr"] == 0.3
    assert_same(selector.get_feature_names_out(), loaded.get_feature_names_out())
    assert_same(selector.knockoffs_.q_values_, loaded.knockoffs_.q_values_)
    assert np.asarray(selector.transform(X) == loaded.transform(X)).all()
    assert repr(loaded.knockoffs_) == repr(selector.knockoffs_)


def test_point_of_a_path_comes_back(planted, tmp_path):
    X, y = planted
    base = JointPruneClassifier((4,), **SMALL)
    path = joint_prune_path(
        X, y, alphas=[0.01, 0.1], estimator=base, return_estimators=True
    )
    for point in path.estimators:
        assert_same_estimator(point, passed_through(point, tmp_path), X)


def test_loaded_estimator_fits_again_as_the_first(quick, planted, tmp_path):
    X, y = planted
    clf = quick(
        n_features_to_select=3,
        feature_groups=[[0, 1], [5, 8]],
        feature_costs=np.linspace(1, 2, 12),
        class_weight={0: 1.0, 1: 2.0},
        optimizer=torch.optim.NAdam,
        optimizer__betas=(0.9, 0.99),
        module__activation="tanh",
        max_epochs=4,
        retrain_epochs=2,
    ).fit(X, y)
    loaded = passed_through(clf, tmp_path)
    before = loaded.predict_proba(X)
    np.testing.assert_array_equal(loaded.fit(X, y).predict_proba(X), before)


# --- parameters


class Slow(torch.optim.SGD):
    pass


class MyPenalty:
    def value(self, s, alpha):
        return alpha**2 / 2 * (s > 0)

    def prox(self, s, alpha):
        return s * (s > alpha)


@pytest.mark.parametrize(
    "params",
    [
        {"callbacks": [object()]},
        {"penalty": MyPenalty()},
        {"random_state": np.random.RandomState(0)},
        {"optimizer": Slow, "optimizer__momentum": 0.9},
        {"images__transform": abs},
    ],
    ids=lambda params: next(iter(params)),
)
def test_what_is_for_training_alone_is_left_out_with_a_warning(
    fitted, planted, tmp_path, params
):
    clf = pickle.loads(pickle.dumps(fitted)).set_params(**params)
    name = next(iter(params))
    with pytest.warns(UserWarning, match=f"left out of .*`{name}`") as caught:
        save(clf, tmp_path / "model")
    assert {w.filename for w in caught} == {__file__}
    loaded = load(tmp_path / "model")
    defaults = JointPruneClassifier(images=clf.images and ImageInput()).get_params()
    assert loaded.get_params()[name] == defaults[name]
    assert loaded.get_params().keys() == defaults.keys()
    np.testing.assert_array_equal(loaded.predict(planted[0]), clf.predict(planted[0]))


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"class_weight": {object(): 1}}, "`class_weight`"),
        ({"feature_costs": torch.ones(12)}, "`feature_costs`"),
        ({"module__activation": nn.ReLU}, "`module__activation`.*partial"),
    ],
)
def test_other_parameters_that_cannot_be_saved_are_named(
    fitted, tmp_path, params, match
):
    clf = pickle.loads(pickle.dumps(fitted)).set_params(**params)
    with pytest.raises(TypeError, match=match):
        save(clf, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_parameters_changed_since_the_fit_are_found_when_saving(
    fitted, planted, tmp_path
):
    clf = pickle.loads(pickle.dumps(fitted)).set_params(hidden_layer_sizes=(4, 4))
    with pytest.raises(ValueError, match="fit again"):
        save(clf, tmp_path / "model")
    clf.set_params(hidden_layer_sizes=(5,), alpha=3.0)  # another size is no harm
    loaded = passed_through(clf, tmp_path)
    np.testing.assert_array_equal(
        loaded.predict(planted[0]), fitted.predict(planted[0])
    )


def test_what_is_not_fitted_or_of_another_kind_is_refused(fitted, planted, tmp_path):
    for unfitted in (JointPruneClassifier(), InputFeatureSelector()):
        with pytest.raises(NotFittedError):
            save(unfitted, tmp_path / "model")

    class Mine(JointPruneClassifier):
        pass

    for other in (make_pipeline(fitted), Mine(), fitted.module_, None):
        with pytest.raises(TypeError, match=r"`save` takes .*JointPruneClassifier"):
            save(other, tmp_path / "model")
    foreign = VarianceThreshold().fit(planted[0])
    with pytest.raises(TypeError, match="`estimator` of type VarianceThreshold"):
        save(InputFeatureSelector(foreign, prefit=True), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


# --- joblib and skops


def test_joblib_and_skops_keep_all(joint, planted, tmp_path):
    X, _ = planted
    joblib.dump(joint, tmp_path / "clf.joblib")
    dumped = skops.io.dumps(joint)
    untrusted = skops.io.get_untrusted_types(data=dumped)
    known = ("skjointprune.", "skorch.", "torch.")
    others = [name for name in untrusted if not name.startswith(known)]
    assert set(others) <= {"builtins.print", "functools.partial"}
    for loaded in (
        joblib.load(tmp_path / "clf.joblib"),
        skops.io.loads(dumped, trusted=untrusted),
    ):
        assert_same_estimator(joint, loaded, X)
        assert loaded.history_ == joint.history_


def test_loaded_estimator_goes_through_joblib_and_skops(joint, planted, tmp_path):
    X, _ = planted
    loaded = passed_through(joint, tmp_path)
    joblib.dump(loaded, tmp_path / "clf.joblib")
    dumped = skops.io.dumps(loaded)
    trusted = skops.io.get_untrusted_types(data=dumped)
    for again in (
        joblib.load(tmp_path / "clf.joblib"),
        skops.io.loads(dumped, trusted=trusted),
    ):
        np.testing.assert_array_equal(again.predict_proba(X), joint.predict_proba(X))
