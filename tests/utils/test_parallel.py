import warnings

import pytest

from skjointprune._utils.parallel import call_each
from skjointprune._utils.warn import warn_caller


def tell(a, b, number):
    warn_caller(f"`number` is {number}.")
    if number > 5:
        raise ValueError("too large")
    return a, b, number


def test_each_call_gets_what_all_share_and_its_own_in_order():
    with pytest.warns(UserWarning):
        found = call_each(tell, ("x", None), ((i,) for i in range(3)), None)
    assert found == [("x", None, 0), ("x", None, 1), ("x", None, 2)]


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_a_warning_of_all_calls_comes_once_and_points_at_the_caller(n_jobs):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call_each(tell, (1, 2), [(i,) for i in range(4)], n_jobs)
    (warning,) = [w for w in caught if "`number`" in str(w.message)]
    assert str(warning.message) == "`number` is 0."
    assert warning.filename == __file__


def test_a_call_that_fails_tells_what_it_warned_of():
    with (
        pytest.warns(UserWarning, match="is 6"),
        pytest.raises(ValueError, match="too"),
    ):
        call_each(tell, (1, 2), [(6,)], None)
