"""What several test files know and assert."""

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

RELEVANT = [1, 5, 8]  # inputs of what is planted


def assert_same_fit(a, b, X):
    np.testing.assert_array_equal(a.support_, b.support_)
    np.testing.assert_array_equal(a.predict_proba(X), b.predict_proba(X))


def assert_unfitted(clf):
    with pytest.raises(NotFittedError):
        check_is_fitted(clf)
    assert not hasattr(clf, "n_features_in_")
    assert not [name for name in vars(clf) if name.endswith("_")]


def assert_prox_minimises(penalty, alpha):
    """Compare the proximal step with the best point of a fine grid."""
    grid = torch.linspace(0, 4, 4001, dtype=torch.float64)
    for s in torch.linspace(0, 4, 57, dtype=torch.float64):
        objective = (grid - s) ** 2 / 2 + penalty.value(grid, alpha)
        t = penalty.prox(s[None], alpha)
        reached = (t - s) ** 2 / 2 + penalty.value(t, alpha)
        assert float(reached) <= float(objective.min()) + 1e-6
        assert bool(t == 0) == bool(s <= alpha)
