"""What several test files assert."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted


def assert_same_fit(a, b, X):
    np.testing.assert_array_equal(a.support_, b.support_)
    np.testing.assert_array_equal(a.predict_proba(X), b.predict_proba(X))


def assert_unfitted(clf):
    with pytest.raises(NotFittedError):
        check_is_fitted(clf)
    assert not hasattr(clf, "n_features_in_")
    assert not [name for name in vars(clf) if name.endswith("_")]
