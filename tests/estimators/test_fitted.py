import pytest
from _helpers import assert_same_fit
from sklearn.exceptions import NotFittedError


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
