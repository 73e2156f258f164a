import pytest
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from skjointprune import InputFeatureSelector, JointPruneClassifier, JointPruneCV
from skjointprune._estimators.delegate import (
    attribute_of_estimator,
    method_of_estimator,
)


class Inner:
    size_ = 3

    def scale(self, x, by=2):
        """Multiply a number."""
        return x * by


class Outer(BaseEstimator):
    size_ = attribute_of_estimator("size_")
    other_ = attribute_of_estimator("other_")
    scale = method_of_estimator(Inner.scale)

    def fit(self):
        self.estimator_ = Inner()
        return self


def test_an_attribute_is_read_from_the_fitted_estimator():
    outer = Outer().fit()
    assert outer.size_ == 3
    outer.estimator_.size_ = 4
    assert outer.size_ == 4
    assert "`size_` of `estimator_`" in Outer.size_.__doc__


def test_an_attribute_is_not_there_before_the_fit_or_where_the_estimator_has_none():
    assert not hasattr(Outer(), "size_")
    assert not hasattr(Outer().fit(), "other_")
    with pytest.raises(AttributeError, match="other_"):
        Outer().fit().other_  # noqa: B018


def test_an_attribute_cannot_be_set():
    with pytest.raises(AttributeError):
        Outer().fit().size_ = 5


def test_a_method_asks_the_fitted_estimator_and_is_documented_as_there():
    outer = Outer().fit()
    assert outer.scale(2) == 4 and outer.scale(2, by=5) == 10
    assert Outer.scale.__doc__ == Inner.scale.__doc__
    assert Outer.scale.__name__ == "scale"
    with pytest.raises(NotFittedError):
        Outer().scale(2)


@pytest.mark.parametrize("kind", [InputFeatureSelector, JointPruneCV])
def test_parameters_of_an_estimator_that_is_chosen_later_are_refused(kind):
    around = kind()
    with pytest.raises(ValueError, match=r"`estimator__lr` is .* Pass `estimator`="):
        around.set_params(estimator__lr=0.1)
    around.set_params(estimator=JointPruneClassifier(), estimator__lr=0.1)
    assert around.estimator.lr == 0.1
