import numpy as np
import pytest

from skjointprune import InputFeatureSelector, JointPruneClassifier, JointPruneRegressor
from skjointprune._estimators.for_target import default_estimator


def test_continuous_y_takes_the_regressor(planted):
    X, _ = planted
    y = X[:, 1] - 2 * X[:, 5]
    selector = InputFeatureSelector(n_features_to_select=2).fit(X, y)
    assert isinstance(selector.estimator_, JointPruneRegressor)
    assert selector.get_support(indices=True).tolist() == [1, 5]


@pytest.mark.parametrize(
    ("y", "kind"),
    [
        ([0, 1, 1], JointPruneClassifier),
        (["a", "b", "a"], JointPruneClassifier),
        ([[0, 1], [1, 1]], JointPruneClassifier),
        (
            [1.0, 2.0, 3.0],
            JointPruneClassifier,
        ),  # whole, so they are classes
        (None, JointPruneClassifier),
        ([0.5, 1.5, 2.0], JointPruneRegressor),
        ([[0.5, 1.5], [2.0, 1.0]], JointPruneRegressor),
    ],
)
def test_a_continuous_y_calls_for_a_regressor_and_all_else_for_a_classifier(y, kind):
    estimator = default_estimator(None if y is None else np.array(y), alpha=0.3)
    assert type(estimator) is kind
    assert estimator.get_params() == kind(alpha=0.3, random_state=0).get_params()


RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    "y",
    [
        np.arange(60) % 3,
        np.arange(100) % 20,
        np.array(["a", "b"] * 9),
        np.array([f"city {i}" for i in range(90)]),  # text is no number
        np.array([False, True] * 9),
        np.arange(12) % 2 * 1.0,
        RNG.integers(0, 2, (30, 3)),
        None,
    ],
    ids=lambda y: "none" if y is None else f"{y.dtype.kind}{np.unique(y).size}",
)
def test_classes_take_a_classifier(y):
    assert type(default_estimator(y)) is JointPruneClassifier


@pytest.mark.parametrize(
    "y",
    [
        RNG.normal(size=30),
        RNG.normal(size=(30, 2)),
        RNG.permutation(300) // 2,  # two rows a value: prices
        RNG.permutation(300) // 2 * 1.0,
        RNG.integers(0, 99, (30, 2)),
    ],
    ids=["numbers", "several", "whole", "whole_floats", "several_whole"],
)
def test_numbers_take_a_regressor(y):
    assert type(default_estimator(y)) is JointPruneRegressor


def test_what_may_be_either_is_to_be_said():
    ages = np.arange(900) % 90
    says = r"Got 90 whole numbers in 900 rows; pass `estimator`=JointPruneClassifier\("
    with pytest.raises(ValueError, match=says):
        default_estimator(ages)
    selector = InputFeatureSelector()
    with pytest.raises(ValueError, match=says):
        selector.fit(RNG.normal(size=(900, 3)), ages)
    assert not hasattr(selector, "estimator_")
