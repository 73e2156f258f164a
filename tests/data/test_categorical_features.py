import numpy as np
import pandas as pd
import pytest

from skjointprune._data.categorical_features import resolve_categories

FRAME = pd.DataFrame(
    {"age": [1.0, 2], "city": ["a", "b"], "code": [3, 4], "flag": [True, False]}
)
NAMES = [*FRAME.columns]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("from_dtype", [1]),
        (None, []),
        ([], []),
        (["code", "city"], [1, 2]),
        ([2, 1], [1, 2]),
        ([False, True, True, False], [1, 2]),
        (np.array([False, False, True, False]), [2]),
        ({"age": False, "city": True, "code": True, "flag": False}, [1, 2]),
        (pd.Series([False, False, True, False], index=NAMES), [2]),
    ],
)
def test_categories_are_found_by_type_mask_names_or_positions(given, expected):
    assert resolve_categories(given, FRAME, NAMES) == expected


def test_an_array_of_numbers_has_none_by_type():
    assert resolve_categories("from_dtype", np.zeros((3, 2)), None) == []


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ("city", "'city'; put one name in a list"),
        ([True, False], "one value for each of the 4 columns of X. Got 2"),
        (["town"], "'town'; use what X has"),
        ([4], "below 4. Got 4"),
        ([1.0], "Got 1.0"),
        ({"city": True}, "'age', 'code', 'flag' are left out"),
    ],
)
def test_what_X_has_not_is_refused(given, match):
    with pytest.raises(ValueError, match=match):
        resolve_categories(given, FRAME, NAMES)
