"""What every kind of input answers, on a few rows of each kind."""

import numpy as np
import pytest
import torch
from _kinds import CPU, EXAMPLES, FLOAT, HOW, prepared
from _networks import compact
from _pictures import SmallConvNet
from torch import nn

from skjointprune import ImageInput, JointPruneClassifier, JointPruneRegressor
from skjointprune._data.kinds import KINDS, kind_of
from skjointprune._data.prepare import Preparation
from skjointprune._data.streamed_inputs import StreamedInputs


@pytest.fixture(params=EXAMPLES.values(), ids=EXAMPLES.keys())
def example(request):
    return request.param


def test_each_kind_of_rows_in_memory_has_an_example():
    assert {example.kind for example in EXAMPLES.values()} | {StreamedInputs} == set(
        KINDS
    )


def test_an_example_is_of_its_kind(example):
    assert example.kind.takes(example.X)
    assert kind_of(example.X) is example.kind


def test_checking_tells_the_shape_of_a_row_and_the_number_of_inputs(example):
    inputs, X, y, estimator = example.check()
    assert isinstance(inputs, example.kind)
    assert inputs.shape == example.shape
    assert estimator.n_features_in_ == example.n_inputs
    assert not hasattr(estimator, "feature_names_in_")
    assert inputs.names is None
    np.testing.assert_array_equal(X, example.X)
    np.testing.assert_array_equal(y, example.y)


def test_checking_refuses_another_number_of_targets(example):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        example.check(y=example.y[:-1])


def test_checking_refuses_targets_that_are_not_finite(example):
    X, y = example.X, np.where(example.y, np.nan, 1.0)
    with pytest.raises(ValueError, match="NaN"):
        example.kind.check(JointPruneRegressor(), X, y, y_numeric=True)


def test_inputs_cannot_be_changed(example):
    inputs, *_ = example.check()
    with pytest.raises(AttributeError):
        inputs.shape = (1,)


def whole(rows):
    return rows[np.arange(len(rows))][0].detach()


def by_first_number(X):
    return X[np.argsort(X.reshape(len(X), -1)[:, 0])]


def test_prepared_batches_are_of_the_rows_given(example):
    inputs, *_ = example.check()
    rows = np.arange(4, 40)
    data = prepared(example, inputs, rows)
    assert [len(part) for part in data.parts] == [27, 9]
    X = torch.cat([whole(part) for part in data.parts])
    assert X.shape == (36, *example.shape) and X.dtype == FLOAT
    raw = (X * data.scaling.scale + data.scaling.mean).numpy()
    expected = by_first_number(example.X[rows])
    np.testing.assert_allclose(by_first_number(raw), expected, atol=1e-5)


def test_prepared_rows_are_standardised_by_those_to_train_on(example):
    inputs, *_ = example.check()
    train, held_out = map(whole, prepared(example, inputs).parts)
    axes = tuple({0, 2, 3} & set(range(train.ndim)))
    mean, scale = train.mean(axes), train.std(axes, correction=0)
    torch.testing.assert_close(mean, torch.zeros_like(mean), rtol=0, atol=1e-5)
    torch.testing.assert_close(scale, torch.ones_like(scale), rtol=0, atol=1e-5)
    assert held_out.mean(axes).abs().max() > 1e-3


def test_rows_are_as_they_come_where_that_is_asked_for(example):
    inputs, *_ = example.check()
    how = Preparation(None, False, False, 0, CPU)
    data = prepared(example, inputs, how=how)
    assert data.valid is None and data.scaling is None
    X, (y, weight) = data.train[np.arange(40)]
    np.testing.assert_array_equal(X.detach(), example.X.astype(np.float32))
    np.testing.assert_array_equal(y, example.y)
    assert torch.equal(weight, torch.ones(40))


def test_preparing_leaves_X_as_it_was(example):
    inputs, *_ = example.check()
    X = example.X.astype(np.float32)
    before = X.copy()
    inputs.prepare(X, np.arange(40), example.y, np.ones(40), HOW)
    np.testing.assert_array_equal(X, before)


def test_the_module_that_was_passed_is_used(example):
    inputs, *_ = example.check()
    assert inputs.module(SmallConvNet, (4,), regression=False) == (SmallConvNet, {})


def test_a_module_for_another_kind_is_refused(example):
    inputs, *_ = example.check()
    with pytest.raises(ValueError, match="`module`="):
        inputs.module(example.other, (4,), regression=False)


def test_a_module_is_put_on_the_device(example):
    inputs, *_ = example.check()
    module = nn.Linear(2, 2)
    assert inputs.place(module, CPU) is module
    meta = inputs.place(module, torch.device("meta"))
    assert meta.weight.device.type == "meta"


def test_all_inputs_get_through_the_gates_of_a_new_fit(example):
    inputs, *_ = example.check()
    gates = inputs.gates(CPU)
    assert gates.shape == example.shape
    assert gates.support().all() and gates.support().shape == example.shape


def test_each_input_is_alone_at_the_same_price_unless_told_otherwise(example):
    inputs, *_ = example.check()
    assert inputs.group_numbers() is None
    assert inputs.costs_of_inputs() is None


@pytest.mark.parametrize("may_go", [False, True])
def test_inputs_of_a_usual_network_may_go(example, may_go):
    inputs, *_ = example.check()
    network = example.network(inputs)
    freed = inputs.free_inputs(network, prepared(example, inputs), may_go=may_go)
    assert freed.inputs.pinned is None
    assert freed.inputs.size == example.n_inputs


def test_a_network_that_has_lost_nothing_needs_all(example):
    inputs, *_ = example.check()
    network, data = example.network(inputs), prepared(example, inputs)
    kept = torch.arange(example.n_inputs)
    traced = inputs.trace_back(network, kept, data)
    assert traced.support.all() and traced.support.shape == example.shape
    assert traced.kept.tolist() == list(range(example.n_inputs))
    assert traced.mask is None and traced.before is None
    assert network.input_shape == example.shape


def test_traced_support_is_what_the_network_still_reads(example):
    inputs, *_ = example.check()
    data = prepared(example, inputs)
    keep = torch.arange(example.n_inputs) != 1
    network = compact(example.network(inputs), {"inputs": keep})
    kept = keep.nonzero().flatten()
    for rows in data.parts:
        rows.keep_inputs(kept)
    traced = inputs.trace_back(network, kept, data)
    by_input = traced.support.reshape(example.n_inputs, -1)
    np.testing.assert_array_equal(by_input.all(axis=1), keep)
    np.testing.assert_array_equal(by_input.any(axis=1), keep)
    X, _ = data.train[np.arange(3)]
    assert X.shape[1:] == network.input_shape
    assert network.module(X).shape == (3, 2)


def test_read_rows_are_those_of_the_support(example):
    inputs, X, _, estimator = example.check()
    support = np.ones(example.shape, dtype=bool)
    support[1] = False
    for dtype in (torch.float32, torch.float64):
        parts = [np.asarray(p) for p in inputs.read(estimator, X, support, dtype)]
        read = np.concatenate(parts)
        assert read.dtype == str(dtype).removeprefix("torch.")
        expected = np.delete(X, 1, axis=1).astype(read.dtype)
        np.testing.assert_array_equal(read, expected)
        shape = tuple(map(len, inputs.positions_read(support)))
        assert read.shape[1:] == shape


def test_reading_refuses_rows_of_another_shape(example):
    inputs, X, _, estimator = example.check()
    support = np.ones(example.shape, dtype=bool)
    with pytest.raises(ValueError, match=r"\b3\b"):
        list(inputs.read(estimator, X[..., :3], support, FLOAT))


def test_reading_refuses_what_is_not_finite(example):
    inputs, X, _, estimator = example.check()
    X = X.copy()
    X[(0,) * X.ndim] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        list(inputs.read(estimator, X, np.ones(example.shape, dtype=bool), FLOAT))


def test_each_retained_input_has_a_name_of_its_own(example):
    inputs, _, _, estimator = example.check()
    support = np.random.default_rng(0).random(example.shape) > 0.4
    names = inputs.names_of(estimator, support, None)
    every = inputs.names_of(estimator, np.ones(example.shape, dtype=bool), None)
    assert len(set(every)) == support.size
    np.testing.assert_array_equal(names, every[support.ravel()])


def test_parameters_for_images_are_refused_for_tables():
    X, y = np.zeros((10, 4)), np.arange(10) % 2
    for params in (
        {"images": ImageInput(groups="row")},
        {"images": ImageInput(transform=lambda x: x)},
        {"images": ImageInput(transform_batches=True)},
        {"images": ImageInput(num_workers=1)},
    ):
        with pytest.raises(ValueError, match="is for images"):
            JointPruneClassifier(**params).fit(X, y)
