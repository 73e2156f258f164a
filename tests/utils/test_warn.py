import pytest

from skjointprune._utils.warn import warn_caller


def test_warning_points_at_the_code_outside_the_package():
    with pytest.warns(UserWarning, match="^so$") as caught:
        warn_caller("so")
    assert caught[0].filename == __file__
