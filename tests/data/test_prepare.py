from dataclasses import replace

import numpy as np
import pytest
import torch
from _helpers import RELEVANT
from _kinds import CPU

from skjointprune._data.prepare import (
    Data,
    Preparation,
    check_weight,
    draw_held_out,
    scale_parts,
    split_rows,
)
from skjointprune._data.tables import Table
from skjointprune._pruning.gates import InputGates


@pytest.mark.parametrize(("mean", "scale"), [(1e6, 1.0), (0.0, 1e-6), (-3.0, 1e8)])
def test_badly_scaled_columns_are_no_obstacle(quick, planted, mean, scale):
    X, y = planted
    X = X * scale + mean
    clf = quick(n_features_to_select=3).fit(X, y)
    assert clf.get_support(indices=True).tolist() == RELEVANT
    assert clf.score(X, y) > 0.9


def test_columns_of_very_different_scales_are_treated_alike(quick, planted):
    X, y = planted
    X = X * np.geomspace(1e-6, 1e6, 12)
    clf = quick(n_features_to_select=3).fit(X, y)
    assert clf.get_support(indices=True).tolist() == RELEVANT


def test_standardize_off_trains_on_the_columns_as_they_are(quick, planted):
    X, y = planted
    off = quick(n_features_to_select=3, standardize=False)
    assert off.fit(X, y).get_support(indices=True).tolist() == RELEVANT
    shifted = off.fit(X + 1e4, y).predict_proba(X + 1e4)
    on = quick(n_features_to_select=3).fit(X + 1e4, y).predict_proba(X + 1e4)
    assert not np.allclose(shifted, on, atol=1e-2)


def test_rare_class_stays_in_training(quick, blobs):
    X, y = blobs
    y = y.copy()
    y[0] = 9
    assert quick(max_epochs=2, retrain_epochs=1).fit(X, y).classes_[-1] == 9


HOW = Preparation(
    validation_fraction=0.3,
    standardize=True,
    scale_targets=True,
    seed=0,
    device=CPU,
)
CODES = np.repeat([0, 1, 2], [50, 20, 3])


def numbers(n=60, n_targets=2):
    rng = np.random.default_rng(0)
    return rng.normal(5, 3, (n, n_targets)), rng.uniform(0.5, 2, n)


def test_rows_are_either_trained_on_or_held_out():
    y, weight = numbers()
    split = split_rows(y, weight, HOW)
    assert split.masks.keys() == split.targets.keys() == {"train", "valid"}
    np.testing.assert_array_equal(split.masks["train"], ~split.masks["valid"])
    assert split.masks["valid"].sum() == 18
    for name, mask in split.masks.items():
        assert [len(t) for t in split.targets[name]] == [mask.sum()] * 2


def test_the_same_share_of_each_class_is_held_out():
    split = split_rows(CODES, np.ones(73), replace(HOW, scale_targets=False))
    held_out = np.bincount(CODES[split.masks["valid"]], minlength=3)
    assert held_out.tolist() == [15, 6, 0]  # of 21; the third is .9 behind its share
    y, _ = split.targets["train"]
    assert y.tolist() == CODES[split.masks["train"]].tolist()
    assert not y.is_floating_point()
    assert split.target_scaling is None


@pytest.mark.parametrize("fraction", [None, 0])
def test_where_no_row_is_held_out_there_is_one_part(fraction):
    y, weight = numbers()
    split = split_rows(y, weight, replace(HOW, validation_fraction=fraction))
    assert list(split.masks) == list(split.targets) == ["train"]
    assert split.masks["train"].all()


def test_weights_have_mean_one_over_the_rows_to_train_on():
    y, weight = numbers()
    split = split_rows(y, 7 * weight, HOW)
    train = split.masks["train"]
    assert split.weight[train].mean() == pytest.approx(1)
    np.testing.assert_allclose(split.weight / split.weight[0], weight / weight[0])
    for name, mask in split.masks.items():
        _, w = split.targets[name]
        assert w.dtype == torch.float32
        np.testing.assert_allclose(w, split.weight[mask], rtol=1e-6)


def test_rows_of_no_weight_are_not_held_out():
    y, weight = numbers()
    weight[::2] = 0
    split = split_rows(y, weight, HOW)
    assert split.masks["valid"].any()
    assert not split.masks["valid"][::2].any()


def test_a_seed_says_which_rows_are_held_out():
    y, weight = numbers()
    first, same, other = (
        split_rows(y, weight, replace(HOW, seed=seed)).masks["valid"]
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


def test_targets_are_standardised_by_the_rows_to_train_on_and_their_weights():
    y, weight = numbers()
    split = split_rows(y, weight, HOW)
    scaled, w = (t.numpy() for t in split.targets["train"])
    np.testing.assert_allclose(np.average(scaled, 0, w), 0, atol=1e-6)
    np.testing.assert_allclose(np.average(scaled**2, 0, w), 1, atol=1e-5)
    scaling = split.target_scaling
    for name, mask in split.masks.items():
        there = split.targets[name][0].double()
        back = there * scaling.scale + scaling.mean
        np.testing.assert_allclose(back, y[mask], atol=1e-5)


def test_targets_stay_as_they_are_where_that_is_asked_for():
    y, weight = numbers()
    split = split_rows(y, weight, replace(HOW, scale_targets=False))
    assert split.target_scaling is None
    for name, mask in split.masks.items():
        np.testing.assert_allclose(split.targets[name][0], y[mask], rtol=1e-6)


def test_nothing_is_estimated_on_held_out_rows():
    y, weight = numbers()
    split = split_rows(y, weight, HOW)
    out = split.masks["valid"]
    y2, weight2 = y.copy(), weight.copy()
    y2[out], weight2[out] = 1e6, 50
    other = split_rows(y2, weight2, HOW)
    assert torch.equal(other.target_scaling.mean, split.target_scaling.mean)
    assert torch.equal(other.target_scaling.scale, split.target_scaling.scale)
    for there, here in zip(other.targets["train"], split.targets["train"], strict=True):
        assert torch.equal(there, here)


def test_parts_are_scaled_as_copies_and_a_constant_column_is_only_shifted():
    values = np.array([[1.0, 4.0], [3.0, 4.0], [5.0, 6.0]])
    before = values.copy()
    masks = {"train": np.array([True, True, False]), "valid": np.arange(3) == 2}
    scaling, parts = scale_parts(values, masks, np.ones(3), True)
    np.testing.assert_array_equal(values, before)
    np.testing.assert_allclose(parts["train"], [[-1, 0], [1, 0]])
    np.testing.assert_allclose(parts["valid"], [[3, 2]])
    assert scaling.mean.tolist() == [2, 4] and scaling.scale.tolist() == [1, 1]
    nothing, as_they_are = scale_parts(values, masks, np.ones(3), False)
    assert nothing is None
    np.testing.assert_array_equal(as_they_are["valid"], values[2:])


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 0.99])
def test_held_out_rows_are_the_same_share_of_every_stratum(fraction):
    drawn = draw_held_out(CODES, fraction, np.random.default_rng(0))
    expected = np.floor(fraction * np.array([50, 20, 3]))
    np.testing.assert_array_equal(np.bincount(CODES, drawn), expected)


def data_of_a_table():
    def table(n):
        return Table(torch.randn(n, 4), torch.arange(n), torch.ones(n))

    gates = InputGates(("channel",), (4,))
    return Data(table(6), table(3), None, None, gates)


def test_a_view_of_data_loses_inputs_on_its_own():
    data = data_of_a_table()
    view = data.view()
    assert view.gates is not data.gates
    for rows in view.parts:
        rows.keep_inputs(torch.tensor([1, 2]))
    for rows, less in zip(data.parts, view.parts, strict=True):
        assert torch.equal(less[:][0], rows[:][0][:, [1, 2]])


def test_data_without_held_out_rows_have_one_part():
    data = replace(data_of_a_table(), valid=None)
    assert data.parts == [data.train]
    assert data.view().valid is None


def test_data_without_gates_are_whole():
    shape = (1, 4, 3)
    gates = InputGates(("row",), shape)
    gates.close("image rows", torch.arange(4) > 1)
    ungated = replace(data_of_a_table(), gates=gates).ungated()
    assert ungated.gates.channels == []
    assert ungated.gates.support().all()
    assert not gates.support().all()


def test_classes_of_few_rows_take_turns():
    codes = np.repeat(np.arange(40), 8)
    drawn = draw_held_out(codes, 0.1, np.random.default_rng(0))
    per_class = np.bincount(codes[drawn], minlength=40)
    assert drawn.sum() == 32 and per_class.max() == 1
    others = draw_held_out(codes, 0.1, np.random.default_rng(1))
    assert (np.bincount(codes[others], minlength=40) != per_class).any()


@pytest.mark.parametrize(("n", "expected"), [(2, 0), (3, 1), (9, 1), (10, 1), (29, 2)])
def test_a_row_is_held_out_where_two_are_left(n, expected):
    drawn = draw_held_out(np.zeros(n, dtype=int), 0.1, np.random.default_rng(0))
    assert drawn.sum() == expected


@pytest.mark.parametrize("fraction", [0.5, 0.99])
def test_one_row_of_each_class_stays_in_training(fraction):
    codes = np.repeat([0, 1, 2], [1, 2, 30])
    drawn = draw_held_out(codes, fraction, np.random.default_rng(0))
    assert (np.bincount(codes[~drawn], minlength=3) > 0).all()


def test_weights_that_are_text_are_refused_by_name():
    with pytest.raises(ValueError, match=r"`sample_weight` must .* Got text"):
        check_weight(["1", "2"], np.ones((2, 1)))
