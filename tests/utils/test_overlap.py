import math

import pytest

from skjointprune._utils.overlap import mean_jaccard


def test_overlap_is_both_over_either_on_average():
    a, b, c = [1, 1, 0, 0], [0, 1, 1, 0], [1, 1, 0, 0]
    assert mean_jaccard([a, b, c]) == pytest.approx((1 / 3 + 1 + 1 / 3) / 3)
    assert mean_jaccard([a, c]) == 1
    assert mean_jaccard([[0, 0], [0, 0]]) == 1
    assert math.isnan(mean_jaccard([a]))
