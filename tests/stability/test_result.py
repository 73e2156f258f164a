import dataclasses
import math

import numpy as np
import pytest

from skjointprune import StabilitySelection


def selection(counts, n_fits, threshold=0.6, **changed):
    """Make a result in which the inputs are selected so many times."""
    supports = np.array([[i < c for c in counts] for i in range(n_fits)])
    defaults = {"resampling": "complementary_pairs", "sample_fraction": 0.5}
    return StabilitySelection(supports, threshold, **(defaults | changed))


def test_an_input_at_the_threshold_is_stable():
    stable = selection([30, 29, 31, 50], 50)
    assert stable.get_support().tolist() == [True, False, True, True]
    assert stable.selection_probabilities.tolist() == [0.6, 0.58, 0.62, 1.0]


def test_the_bound_is_that_of_meinshausen_and_buhlmann():
    stable = selection([50] * 5 + [0] * 95, 50, threshold=0.9)
    assert stable.error_bound == pytest.approx(5**2 / ((2 * 0.9 - 1) * 100))
    assert dataclasses.replace(
        stable, resampling="subsamples"
    ).error_bound == pytest.approx(stable.error_bound)


@pytest.mark.parametrize("threshold", [0.6, 0.7, 0.75, 0.8, 0.9, 1.0])
def test_the_unimodal_bound_is_that_of_the_theorem(threshold):
    n_pairs, q, p = 50, 10, 200
    stable = selection([2 * n_pairs] * q + [0] * (p - q), 2 * n_pairs, threshold)
    if threshold <= 0.75:
        constant = 1 / (2 * (2 * threshold - 1 - 1 / (2 * n_pairs)))
    else:
        constant = 4 * (1 - threshold + 1 / (2 * n_pairs)) / (1 + 1 / n_pairs)
    assert stable.unimodal_error_bound == pytest.approx(constant * q**2 / p)
    assert stable.unimodal_error_bound < stable.error_bound


def test_there_is_no_bound_where_there_is_no_theorem():
    many = selection([10] * 7 + [0] * 3, 10)  # q / p above 1 / sqrt(3)
    assert math.isnan(many.unimodal_error_bound) and many.error_bound > 0
    for threshold, is_one in ((0.52, False), (0.54, True)):  # 26 and 27 of 50
        near = selection([50] * 5 + [0] * 95, 50, threshold=threshold)
        assert math.isfinite(near.unimodal_error_bound) == is_one
    close = selection([500] * 20 + [0] * 80, 500, threshold=0.502)
    assert math.isnan(close.unimodal_error_bound)
    large = dataclasses.replace(many, resampling="subsamples", sample_fraction=0.8)
    assert math.isnan(large.error_bound) and "no bound" in repr(large)


def test_repr_names_the_stable_inputs_first_the_surest():
    lines = repr(selection([40, 50, 0, 10], 50)).splitlines()
    assert lines[0].startswith("2 of 4 inputs") and "30 of 50" in lines[0]
    assert [line.split() for line in lines[1:3]] == [["x1", "1.00"], ["x0", "0.80"]]
    assert "a fit selected 2.0" in lines[3]
    assert max(map(len, lines)) <= 100


def test_repr_of_many_stable_inputs_is_short():
    lines = repr(selection([10] * 50, 10)).splitlines()
    assert len(lines) < 30 and "and 30 more" in lines[21]


def test_numbers_of_images_have_the_names_that_estimators_give_them():
    supports = np.zeros((4, 2, 3, 2), dtype=bool)
    supports[:, 1, 2, 0] = True
    stable = StabilitySelection(supports, 0.6, "subsamples", 0.5)
    assert stable.get_feature_names_out().tolist() == ["x1_2_0"]
    assert "x1_2_0" in repr(stable)
