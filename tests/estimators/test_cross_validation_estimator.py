"""What `JointPruneCV` takes from the estimator that it holds."""

import inspect

import numpy as np
import pytest
import sklearn
from _helpers import with_value
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.utils import get_tags

from skjointprune import JointPruneClassifier, JointPruneCV, JointPruneRegressor
from skjointprune._estimators import cross_validation
from skjointprune._estimators.for_target import default_estimator

QUICK = {
    "hidden_layer_sizes": (4,),
    "max_epochs": 4,
    "retrain_epochs": 8,
    "batch_size": 32,
    "lr": 1e-2,
    "random_state": 0,
}
FEW = {"alphas": [0.01, 0.05], "cv": 2}


def around(kind, **params):
    return JointPruneCV(kind(**QUICK), **FEW | params)


@pytest.fixture(scope="module")
def of_classes(frame):
    return around(JointPruneClassifier).fit(*frame)


@pytest.fixture(scope="module")
def of_numbers(planted):
    X, _ = planted
    return around(JointPruneRegressor).fit(X, X[:, 1] + X[:, 5])


@pytest.fixture
def quick_default(monkeypatch):
    """Let the estimator that is chosen by y be a quick one."""
    own = {name: value for name, value in QUICK.items() if name != "random_state"}
    monkeypatch.setattr(
        cross_validation, "default_estimator", lambda y: default_estimator(y, **own)
    )


@pytest.mark.parametrize("name", ["of_classes", "of_numbers"])
def test_all_that_a_fit_leaves_is_read(name, request):
    cv = request.getfixturevalue(name)
    inner = cv.estimator_
    left = [n for n in vars(inner) if n.endswith("_") and not n.startswith("_")]
    assert len(left) >= 9
    for attribute in [*left, "module_"]:
        assert getattr(cv, attribute) is getattr(inner, attribute)


def test_own_attributes_say_which_point_was_chosen(of_classes):
    assert of_classes.alpha_ == of_classes.estimator_.alpha
    assert of_classes.alpha_ == of_classes.alphas_[of_classes.best_index_]
    assert of_classes.n_splits_ == 2


@pytest.mark.parametrize("kind", [JointPruneClassifier, JointPruneRegressor])
def test_no_attribute_of_a_fit_is_there_before(kind, of_classes, of_numbers):
    unfitted = around(kind)
    inner = of_classes.estimator_ if kind is JointPruneClassifier else of_numbers
    for attribute in [*vars(inner), *vars(of_classes), "module_"]:
        if attribute.endswith("_") and not attribute.startswith("_"):
            assert not hasattr(unfitted, attribute)
    with pytest.raises(AttributeError):
        unfitted.support_  # noqa: B018


@pytest.mark.parametrize(
    "use",
    [
        lambda cv, X: cv.predict(X),
        lambda cv, X: cv.predict_proba(X),
        lambda cv, X: cv.score(X, np.ones(len(X))),
        lambda cv, X: cv.get_support(),
        lambda cv, X: cv.get_group_support(),
        lambda cv, X: cv.get_feature_names_out(),
    ],
)
def test_use_before_fit_is_a_not_fitted_error(planted, use):
    with pytest.raises(NotFittedError):
        use(around(JointPruneClassifier), planted[0])


def test_methods_answer_as_those_of_the_fitted_estimator(of_classes, frame):
    X, y = frame
    inner = of_classes.estimator_
    same = np.testing.assert_array_equal
    same(of_classes.predict(X), inner.predict(X))
    same(of_classes.predict_proba(X), inner.predict_proba(X))
    same(of_classes.get_support(indices=True), inner.get_support(indices=True))
    same(of_classes.get_group_support(), inner.get_group_support())
    same(of_classes.get_feature_names_out(), inner.get_feature_names_out())
    weight = np.arange(400)
    assert of_classes.score(X, y, weight) == inner.score(X, y, weight)


def test_methods_have_the_documentation_of_the_estimator():
    for name in ("predict_proba", "get_support", "get_group_support"):
        method = getattr(JointPruneCV(), name)
        of_estimator = getattr(JointPruneClassifier, name)
        assert inspect.getdoc(method) == inspect.getdoc(of_estimator)


@pytest.mark.parametrize(
    ("kind", "classifies"), [(JointPruneClassifier, True), (JointPruneRegressor, False)]
)
def test_it_is_what_its_estimator_is(kind, classifies, of_classes, of_numbers):
    for cv in (around(kind), of_classes if classifies else of_numbers):
        assert is_classifier(cv) == classifies
        assert is_regressor(cv) == (not classifies)
        assert hasattr(cv, "predict_proba") == classifies
        tags, inner = get_tags(cv), get_tags(cv.estimator)
        assert tags.target_tags.required
        for part in ("classifier_tags", "regressor_tags", "target_tags", "input_tags"):
            assert getattr(tags, part) == getattr(inner, part)


@pytest.mark.parametrize("classifies", [True, False])
def test_without_an_estimator_y_says_what_it_is(quick_default, planted, classifies):
    X, y = planted
    cv = JointPruneCV(**FEW)
    assert not is_classifier(cv) and not is_regressor(cv)
    assert hasattr(cv, "predict_proba")  # it may become a classifier
    assert get_tags(cv).target_tags.required
    cv.fit(X, y if classifies else X[:, 1] + X[:, 5])
    assert is_classifier(cv) == classifies
    assert is_regressor(cv) == (not classifies)
    for name in ("classes_", "predict_proba"):
        assert hasattr(cv, name) == classifies
    assert cv.estimator is None
    assert cv.predict(X).shape == (400,)


def test_the_estimator_is_left_as_it_was(planted):
    cv = around(JointPruneClassifier)
    inner, before = cv.estimator, dict(vars(cv.estimator))
    assert cv.fit(*planted).estimator is inner
    assert vars(inner) == before


def test_the_same_is_fitted_twice_where_the_seed_is_given(of_numbers, planted):
    X, _ = planted
    again = clone(of_numbers).fit(X, X[:, 1] + X[:, 5])
    np.testing.assert_array_equal(again.predict(X), of_numbers.predict(X))
    np.testing.assert_array_equal(
        again.cv_results_["mean_test_score"], of_numbers.cv_results_["mean_test_score"]
    )


def test_parameters_of_the_estimator_are_searched(planted):
    X, y = (a[:160] for a in planted)
    grid = {"estimator__alpha": [0.1, 0.2], "estimator__module__dropout": [0.1]}
    cv = around(JointPruneClassifier)
    search = GridSearchCV(cv, grid, cv=2, error_score="raise").fit(X, y)
    assert search.best_params_["estimator__alpha"] in (0.1, 0.2)
    best = search.best_estimator_
    assert best.estimator.alpha == search.best_params_["estimator__alpha"]
    assert best.estimator_.get_params()["module__dropout"] == 0.1
    # a path goes through all values of `alpha`: that of the estimator is not used
    scores = search.cv_results_["mean_test_score"]
    assert scores[0] == scores[1]
    assert hasattr(search, "predict_proba") and is_classifier(search)


def test_a_parameter_that_the_estimator_does_not_have_is_refused():
    with pytest.raises(ValueError, match="alhpa"):
        around(JointPruneClassifier).set_params(estimator__alhpa=1)


@pytest.mark.parametrize("kind", [JointPruneClassifier, JointPruneRegressor, None])
def test_metadata_go_to_the_splitter_and_the_scorer(kind):
    estimator = None if kind is None else kind(**QUICK)
    with sklearn.config_context(enable_metadata_routing=True):
        cv = JointPruneCV(estimator, cv=GroupKFold(2))
        asked = ["groups", "sample_weight", "colour"]
        router = cv.get_metadata_routing()
        assert set(router.consumes("fit", asked)) == {"groups", "sample_weight"}
        weighted = cv.set_fit_request(sample_weight=True).get_metadata_routing()
        assert "sample_weight" in weighted.consumes("fit", asked)


def test_a_scorer_says_which_metadata_it_takes():
    with sklearn.config_context(enable_metadata_routing=True):
        plain, weighted = (
            around(
                JointPruneClassifier,
                scoring=make_scorer(f1_score).set_score_request(sample_weight=asked),
            ).get_metadata_routing()
            for asked in (False, True)
        )
        assert not plain.consumes("fit", ["sample_weight"])
        assert weighted.consumes("fit", ["sample_weight"]) == {"sample_weight"}


def test_a_fit_that_fails_leaves_the_one_before(of_numbers, planted):
    X, _ = planted
    y = X[:, 1] + X[:, 5]
    cv = clone(of_numbers).fit(X, y)
    before = dict(vars(cv))
    spoilt, y = with_value(np.inf)(X, y)
    with pytest.raises(ValueError, match="infinity"):
        cv.fit(spoilt, y)
    assert vars(cv) == before


def test_y_must_be_passed(planted):
    with pytest.raises(ValueError, match="requires y to be passed"):
        around(JointPruneClassifier).fit(planted[0])


def test_a_parameter_of_the_estimator_is_checked_before_groups_are_found(planted):
    cv = JointPruneCV(JointPruneClassifier(feature_groups="bogus"))
    with pytest.raises(ValueError, match="'feature_groups' parameter"):
        cv.fit(*planted)
    assert not [name for name in vars(cv) if name.endswith("_")]
