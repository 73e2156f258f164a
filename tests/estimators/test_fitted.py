from dataclasses import fields

import pandas as pd
import pytest
from _helpers import assert_same_fit
from _pictures import SmallConvNet
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skjointprune import JointPruneClassifier, JointPruneRegressor
from skjointprune._estimators.fitted import adopt, fit_of


@pytest.mark.parametrize(
    "use",
    [
        lambda clf, X: clf.predict(X),
        lambda clf, X: clf.predict_proba(X),
        lambda clf, X: clf.get_support(),
        lambda clf, X: clf.get_feature_names_out(),
    ],
)
def test_use_before_fit_is_a_not_fitted_error(quick, planted, use):
    with pytest.raises(NotFittedError):
        use(quick(), planted[0])


def test_second_fit_forgets_the_first(quick, planted, frame):
    X, y = planted
    clf = quick(n_features_to_select=3).fit(*frame)
    clf.fit(X[:, :7], y)
    assert clf.n_features_in_ == len(clf.support_) == 7
    assert not hasattr(clf, "feature_names_in_")
    fresh = quick(n_features_to_select=3).fit(X[:, :7], y)
    assert_same_fit(clf, fresh, X[:, :7])


SMALL = {"alpha": 0.02, "max_epochs": 2, "retrain_epochs": 1, "random_state": 0}


@pytest.fixture(scope="module")
def of_groups(planted):
    """A regressor of columns with names and groups."""
    X, _ = planted
    frame = pd.DataFrame(X.copy(), columns=[f"c{i}" for i in range(12)])
    reg = JointPruneRegressor((4,), feature_groups=[["c0", "c1"]], **SMALL)
    return reg.fit(frame, X[:, :2])


@pytest.mark.parametrize("name", ["fitted", "joint", "cropped", "of_groups"])
def test_what_was_adopted_is_given_back(name, request):
    before = request.getfixturevalue(name)
    fit = fit_of(before)
    after = clone(before)
    assert adopt(after, fit) is after
    back = fit_of(after)
    for field in fields(fit):
        assert getattr(back, field.name) is getattr(fit, field.name)
    assert vars(after).keys() == vars(before).keys()
    for attribute in vars(before).keys() - before.get_params(deep=False).keys():
        same = getattr(after, attribute), getattr(before, attribute)
        assert same[0] is same[1] or same[0] == same[1]
    assert after.module_ is before.module_


def test_an_adopted_fit_predicts_the_same(fitted, planted):
    after = adopt(clone(fitted), fit_of(fitted))
    assert_same_fit(after, fitted, planted[0])


def test_a_fit_is_of_a_fitted_estimator():
    with pytest.raises(NotFittedError):
        fit_of(JointPruneClassifier())


def test_attributes_are_those_of_the_fit(of_groups):
    fit = fit_of(of_groups)
    assert of_groups.support_ is fit.support
    assert of_groups.module_ is fit.network is fit.net.module_
    assert of_groups.n_iter_ == len(fit.history) == 3
    assert of_groups.input_shape_ == fit.inputs.shape == (12,)
    assert of_groups.n_features_in_ == 12
    assert of_groups.feature_names_in_.tolist() == [f"c{i}" for i in range(12)]
    assert len(of_groups.feature_groups_) == 11
    assert not hasattr(of_groups, "classes_")


def test_a_fit_to_data_without_names_forgets_names(frame, planted):
    clf = JointPruneClassifier((4,), **SMALL).fit(*frame)
    assert clf.feature_names_in_.tolist() == frame[0].columns.tolist()
    clf.fit(*planted)
    assert not hasattr(clf, "feature_names_in_")
    assert clf.get_feature_names_out()[0].startswith("x")


def test_a_fit_to_images_forgets_names_and_groups_of_columns(frame, pictures):
    X, y = (a[:40] for a in pictures)
    clf = JointPruneClassifier((4,), **SMALL).fit(*frame)
    assert hasattr(clf, "feature_groups_")
    clf.set_params(module=SmallConvNet).fit(X, y)
    for name in ("feature_groups_", "feature_names_in_"):
        assert not hasattr(clf, name)
    assert clf.input_shape_ == (3, 8, 9) and clf.n_features_in_ == 3
    clf.set_params(module=None).fit(*frame)
    assert clf.input_shape_ == (12,) and len(clf.feature_groups_) == 12


def test_support_is_a_copy_that_may_be_changed(fitted):
    fitted.get_support()[:] = True
    assert fitted.get_support().sum() == 3


@pytest.mark.parametrize(
    "use",
    [
        lambda clf: clf.module_,
        lambda clf: clf.get_group_support(),
        lambda clf: clf.get_support(indices=True),
    ],
)
@pytest.mark.parametrize("kind", [JointPruneClassifier, JointPruneRegressor])
def test_what_a_fit_leaves_is_not_there_before(kind, use):
    with pytest.raises(NotFittedError):
        use(kind())
