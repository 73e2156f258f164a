import numpy as np
import pytest

from skjointprune import StepFunction

F = StepFunction(np.array([1.0, 2.0, 4.0]), np.array([0.9, 0.5, 0.1]))


def test_values_hold_from_each_point_to_the_next():
    np.testing.assert_array_equal(F([1, 1.9, 2, 3.9, 4]), [0.9, 0.9, 0.5, 0.5, 0.1])


def test_one_time_gives_one_number():
    assert F(2.5) == 0.5
    assert np.ndim(F(2.5)) == 0


def test_before_the_first_point_is_its_value():
    assert F(0) == 0.9


@pytest.mark.parametrize("x", [-0.1, 4.1, np.nan, np.inf])
def test_times_outside_are_named(x):
    with pytest.raises(ValueError, match=rf"within \[0, 4\].* Got {x:g};"):
        F([1, x])


def test_equal_functions_are_equal():
    assert StepFunction(F.x.copy(), F.y.copy()) == F
    assert StepFunction(F.x, F.y + 1) != F
    assert F != "f"


def test_it_is_that_of_scikit_survival():
    functions = pytest.importorskip("sksurv.functions")
    theirs = functions.StepFunction(F.x, F.y)
    times = np.linspace(0, 4, 41)
    np.testing.assert_array_equal(F(times), theirs(times))
    assert F.domain == theirs.domain
