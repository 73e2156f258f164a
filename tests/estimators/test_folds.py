import numpy as np
import pytest
from sklearn.metrics import get_scorer
from skorch.callbacks import EarlyStopping

from skjointprune import JointPruneClassifier
from skjointprune._estimators.folds import (
    choose,
    collect_results,
    estimator_of_fold,
    score_fold,
    standard_errors,
)
from skjointprune._training.progress import Progress

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


def test_estimators_of_folds_have_seeds_of_their_own_and_hold_no_rows_out():
    single = JointPruneClassifier(random_state=7, alpha=0.3)
    first, second = (estimator_of_fold(single, number) for number in (0, 1))
    assert len({7, first.random_state, second.random_state}) == 3
    for fold in (first, second):
        changed = {"random_state": fold.random_state, "validation_fraction": None}
        assert fold.get_params() == single.get_params() | changed
    assert single.random_state == 7 and single.validation_fraction == 0.1


def test_rows_are_held_out_in_folds_where_callbacks_may_watch_them():
    single = JointPruneClassifier(random_state=0, callbacks=[EarlyStopping()])
    assert estimator_of_fold(single, 0).validation_fraction == 0.1


def test_results_are_named_and_averaged_over_folds():
    table = np.array(  # two folds, three points; score, inputs, parameters, MACs
        [
            [[0.9, 4, 40, 30], [0.8, 2, 20, 10], [0.5, 1, 10, 5]],
            [[0.7, 4, 44, 34], [0.8, 3, 22, 14], [0.3, 1, 12, 7]],
        ]
    )
    supports = np.ones((2, 3, 4), dtype=bool)
    supports[0, 1, :2] = False
    results = collect_results(np.array([0.1, 0.2, 0.3]), table, supports)
    expected = {
        "alpha": [0.1, 0.2, 0.3],
        "split0_test_score": [0.9, 0.8, 0.5],
        "split1_test_score": [0.7, 0.8, 0.3],
        "mean_test_score": [0.8, 0.8, 0.4],
        "std_test_score": [0.1, 0, 0.1],
        "mean_inputs": [4, 2.5, 1],
        "mean_parameters": [42, 21, 11],
        "mean_macs": [32, 12, 6],
        "jaccard": [1, 0.5, 1],
    }
    assert list(results) == list(expected)
    for name, column in expected.items():
        np.testing.assert_allclose(results[name], column)


def test_standard_errors_are_those_of_means_over_folds():
    scores = np.array([[1.0, 2.0], [3.0, 2.0], [2.0, 2.0]])
    np.testing.assert_allclose(standard_errors(scores), [1 / np.sqrt(3), 0])
    np.testing.assert_array_equal(standard_errors(scores[:1]), [0, 0])


def test_a_fold_is_scored_on_its_test_rows_at_each_point(quick, planted):
    X, y = planted
    train, test = np.arange(300), np.arange(300, 400)
    seen = []

    def score(estimator, X, y, weight):
        seen.append((X, y, weight))
        return get_scorer("accuracy")(estimator, X, y)

    rows, supports = score_fold(
        quick(max_epochs=4), X, y, None, [0.02, 0.3], 20, score,
        {"weight": np.arange(400)}, Progress(0), 0, "fold", train, test,
    )  # fmt: skip
    assert len(rows) == len(supports) == len(seen) == 2
    for (got, inputs, *_), support in zip(rows, supports, strict=True):
        assert 0 <= got <= 1 and inputs == support.sum()
    for given in seen:
        for there, expected in zip(given, (X, y, np.arange(400)), strict=True):
            np.testing.assert_array_equal(there, expected[test])
