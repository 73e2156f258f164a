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
