from skjointprune import InputFeatureSelector, JointPruneRegressor


def test_continuous_y_takes_the_regressor(planted):
    X, _ = planted
    y = X[:, 1] - 2 * X[:, 5]
    selector = InputFeatureSelector(n_features_to_select=2).fit(X, y)
    assert isinstance(selector.estimator_, JointPruneRegressor)
    assert selector.get_support(indices=True).tolist() == [1, 5]
