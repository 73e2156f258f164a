import warnings

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, cross_val_score

from skjointprune._utils.warn import collect_warnings, warn_caller, warn_once


def test_warning_points_at_the_code_outside_the_package():
    with pytest.warns(UserWarning, match="^so$") as caught:
        warn_caller("so")
    assert caught[0].filename == __file__


# Runs as code of the package does: a fit that warns, of a number that differs.
CODE = """
from sklearn.base import BaseEstimator, ClassifierMixin
from skjointprune._utils.warn import collect_warnings, warn_caller, warn_once

class Warns(ClassifierMixin, BaseEstimator):
    def __init__(self, number=0):
        self.number = number

    def fit(self, X, y):
        self.classes_ = [0, 1]
        warn_caller(f"`number` is {self.number}.")
        return self

    def predict(self, X):
        return [0] * len(X)
"""
made = {"__name__": "skjointprune.test"}
exec(CODE, made)
Warns = made["Warns"]


@pytest.mark.parametrize(
    "search",
    [
        lambda X, y: GridSearchCV(Warns(), {"number": range(9)}, cv=2).fit(X, y),
        lambda X, y: cross_val_score(Warns(), X, y, cv=5),
    ],
)
def test_a_warning_comes_once_for_all_fits_of_a_search(search):
    X, y = np.zeros((20, 2)), np.arange(20) % 2
    for _ in range(2):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            search(X, y)
        assert len([w for w in caught if "`number`" in str(w.message)]) == 1


def test_a_warning_comes_again_with_the_next_fit():
    for _ in range(2):
        with pytest.warns(UserWarning, match="so"):
            warn_caller("so")


def test_what_is_collected_is_said_later():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with collect_warnings() as messages:
            warn_caller("`a` is 1.")
            warn_caller("`a` is 2.")
            warn_caller("`b`")
    assert messages == ["`a` is 1.", "`a` is 2.", "`b`"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_once(messages)
    assert [str(w.message) for w in caught] == ["`a` is 1.", "`b`"]
