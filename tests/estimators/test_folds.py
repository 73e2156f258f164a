import numpy as np
import pytest

from skjointprune._estimators.folds import choose

SCORES = np.array([0.90, 0.95, 0.94, 0.92, 0.95, 0.60])


ERRORS = np.full(6, 0.02)


@pytest.mark.parametrize(
    ("scores", "rule", "expected"),
    [
        (SCORES, "best", 1),
        (SCORES[:4], "one_se", 2),
        (SCORES, "one_se", 4),
        (SCORES, 0, 4),
        (SCORES[:4], 0.03, 3),
        (SCORES, 1.0, 5),
    ],
)
def test_rules_choose_the_largest_alpha_within_their_loss(scores, rule, expected):
    assert choose(scores, ERRORS[: len(scores)], rule) == expected


def test_what_could_not_be_scored_is_not_chosen():
    scores = np.array([0.9, np.nan, 0.8])
    assert choose(scores, np.zeros(3), "best") == 0
    assert choose(scores, np.full(3, 0.2), "one_se") == 2
    with pytest.raises(ValueError, match="defined for all folds"):
        choose(np.full(3, np.nan), np.zeros(3), "best")
