import numpy as np
import pytest
from sklearn.model_selection import GroupKFold, check_cv

from skjointprune._utils.splits import list_splits


def test_splits_are_those_of_the_splitter():
    X, groups = np.zeros((6, 1)), [0, 0, 1, 1, 2, 2]
    found = list_splits(GroupKFold(3), 3, X, None, groups=groups)
    assert sorted(test.tolist() for _, test in found) == [[0, 1], [2, 3], [4, 5]]


def test_no_split_is_refused_by_what_was_given():
    with pytest.raises(ValueError, match=r"`cv` must .* Got none from \[\]; pass"):
        list_splits(check_cv([]), [], np.zeros((6, 1)), None)
