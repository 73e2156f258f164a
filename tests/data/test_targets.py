import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from _pictures import Labelled, Pictures, make
from scipy.sparse import csr_matrix
from sklearn.metrics import accuracy_score, get_scorer, roc_auc_score
from torch.utils.data import TensorDataset
from torchvision.datasets import FakeData
from torchvision.transforms.functional import to_tensor

from skjointprune import JointPruneCV
from skjointprune._data.targets import (
    Classes,
    LabelSets,
    Numbers,
    encode_classes,
    encode_numbers,
    labels_of,
    read_labels,
    refuse_no_numbers,
    targets_of,
)

EVENTS = np.array([(True, 1.0), (False, 2.0)], dtype=[("event", bool), ("time", float)])


@pytest.fixture(scope="module")
def labels():
    """Two labels, each by the sign of an input of its own among ten."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 10))
    return X, (X[:, [2, 6]] > 0).astype(int)


@pytest.fixture(scope="module")
def both(quick, labels):
    return quick(n_features_to_select=2).fit(*labels)


def test_inputs_of_all_labels_are_found(both, labels):
    X, Y = labels
    assert both.get_support(indices=True).tolist() == [2, 6]
    assert both.score(X, Y) == accuracy_score(Y, both.predict(X)) > 0.9


def test_predictions_are_indicators_of_probabilities_above_a_half(both, labels):
    X, Y = labels
    proba = both.predict_proba(X)
    assert proba.shape == Y.shape
    np.testing.assert_array_equal(both.predict(X), proba > 0.5)
    assert both.predict(X).dtype.kind == "i"


def test_two_labels_are_ranked_as_any_number(quick, labels):
    X, Y = labels
    for cv in (False, True):
        clf = quick(n_features_to_select=2)
        if cv:
            clf = quick(batch_size=32)
            clf = JointPruneCV(clf, n_alphas=2, cv=2, scoring="roc_auc")
        clf.fit(X, Y)
        score = get_scorer("roc_auc")(clf, X, Y)
        assert score == roc_auc_score(Y, clf.predict_proba(X)) > 0.9


def test_probabilities_of_labels_are_independent(both, labels):
    total = both.predict_proba(labels[0]).sum(axis=1)
    assert total.min() < 0.5 and total.max() > 1.5


def test_sparse_indicators_are_as_dense_ones(quick, both, labels):
    X, Y = labels
    sparse = quick(n_features_to_select=2).fit(X, csr_matrix(Y))
    np.testing.assert_array_equal(sparse.predict_proba(X), both.predict_proba(X))


def test_held_out_score_is_that_of_all_labels_of_a_row(quick, labels):
    clf = quick(n_features_to_select=1, validation_fraction=0.5).fit(*labels)
    last = clf.report_.scores["after retraining"]
    assert last == pytest.approx(clf.score(*labels), abs=0.1)
    assert last < 0.7


def test_sample_weight_counts(quick, labels):
    X, Y = labels
    weight = np.r_[np.ones(400), np.full(400, 1e-3)]
    clf = quick().fit(np.r_[X, X], np.r_[Y, 1 - Y], sample_weight=weight)
    assert clf.score(X, Y) > 0.7


def test_class_weight_takes_a_dict_for_each_label(quick, labels):
    X, _ = labels
    rare = np.c_[X[:, 2] > 1.3, X[:, 6] > 0].astype(int)
    plain = quick().fit(X, rare)
    heavy = quick(class_weight=[{0: 1, 1: 30}, {0: 1, 1: 1}]).fit(X, rare)
    assert heavy.predict(X)[:, 0].sum() > plain.predict(X)[:, 0].sum()


def test_several_classes_in_several_columns_are_refused(quick, labels):
    X, Y = labels
    with pytest.raises(ValueError, match=r"1d|multiclass-multioutput"):
        quick().fit(X, Y + np.arange(400)[:, None] % 3)


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["no", "yes"]),
        np.array(["no", "yes"], dtype=object),
        np.array([False, True]),
        np.array([-5, 70]),
        np.array([1.0, 2.0]),
    ],
    ids=lambda labels: str(labels.dtype),
)
def test_labels_of_any_kind_come_back(quick, planted, labels):
    X, y = planted
    clf = quick(n_features_to_select=3).fit(X, labels[y])
    assert clf.classes_.tolist() == labels.tolist()
    assert clf.predict(X).dtype == labels.dtype
    assert accuracy_score(labels[y], clf.predict(X)) > 0.93
    assert clf.score(X, labels[y]) == accuracy_score(labels[y], clf.predict(X))


def test_many_classes(quick, blobs):
    X, y = blobs
    clf = quick().fit(X, y * 10)
    assert clf.classes_.tolist() == [0, 10, 20, 30, 40]
    proba = clf.predict_proba(X)
    assert proba.shape == (300, 5)
    np.testing.assert_allclose(proba.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(clf.predict(X), proba.argmax(1) * 10)
    assert clf.score(X, y * 10) > 0.9


class OddOrEven(FakeData):
    """Returns other labels than it lists."""

    targets = tuple(range(40))

    def __getitem__(self, i):
        return super().__getitem__(i)[0], "odd" if i % 2 else "even"


class Told(OddOrEven):
    targets = None
    labels = ("odd", "even")  # names of classes


@pytest.mark.parametrize("kind", [OddOrEven, Told])
def test_labels_are_those_that_a_dataset_returns(kind):
    dataset = kind(40, image_size=(3, 8, 9), transform=to_tensor)
    clf = make(max_epochs=2, retrain_epochs=1).fit(dataset)
    assert clf.classes_.tolist() == ["even", "odd"]


WEIGHT = np.array([1.0, 2.0, 3.0, 4.0])


def certain(values, n_outputs):
    """Return the outputs of a network that is sure of encoded classes."""
    return np.eye(n_outputs)[values]


@pytest.mark.parametrize(
    "y",
    [
        np.array(["b", "a", "c", "a"]),
        np.array(["b", "a", "c", "a"], dtype=object),
        np.array([7, -1, 9, -1]),
        np.array([True, False, True, False]),
    ],
    ids=lambda y: str(y.dtype),
)
def test_classes_come_back_from_their_codes(y):
    encoded = encode_classes(y, WEIGHT, None)
    targets = encoded.targets
    assert isinstance(targets, Classes)
    assert targets.n_outputs == len(np.unique(y))
    assert targets.labels.tolist() == sorted(set(y))
    assert encoded.values.dtype.kind == "i"
    np.testing.assert_array_equal(encoded.weight, WEIGHT)
    decoded = targets.decode(certain(encoded.values, targets.n_outputs))
    np.testing.assert_array_equal(decoded, y)
    assert decoded.dtype == y.dtype


@pytest.mark.parametrize("container", [np.asarray, csr_matrix])
def test_labels_come_back_from_their_indicators(container):
    Y = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]])
    encoded = encode_classes(container(Y), WEIGHT, None)
    targets = encoded.targets
    assert isinstance(targets, LabelSets)
    assert targets.n_outputs == 3
    np.testing.assert_array_equal(targets.labels, [[0, 1]] * 3)
    assert encoded.values.dtype == np.float32
    decoded = targets.decode(0.1 + 0.8 * encoded.values)
    np.testing.assert_array_equal(decoded, Y)
    assert decoded.dtype.kind == "i"


@pytest.mark.parametrize("shape", [(4,), (4, 1), (4, 3)])
@pytest.mark.parametrize("dtype", ["int64", "float32", "float64"])
def test_numbers_come_back_in_the_shape_of_y(shape, dtype):
    y = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    encoded = encode_numbers(y, WEIGHT)
    targets = encoded.targets
    assert targets == Numbers(1 if len(shape) == 1 else shape[1], len(shape) == 1)
    assert encoded.values.shape == (4, targets.n_outputs)
    assert encoded.values.dtype == np.float64
    decoded = targets.decode(encoded.values)
    np.testing.assert_array_equal(decoded, y)
    assert decoded.dtype == np.float64


def test_a_class_weight_multiplies_the_weights_of_rows():
    y = np.array(["b", "a", "c", "a"])
    encoded = encode_classes(y, WEIGHT, {"a": 0.5, "b": 3, "c": 1})
    assert encoded.weight.tolist() == [3, 1, 3, 2]
    balanced = encode_classes(y, np.ones(4), "balanced").weight
    np.testing.assert_allclose(balanced, [4 / 3, 2 / 3, 4 / 3, 2 / 3])


@pytest.mark.parametrize(
    ("y", "class_weight", "match"),
    [
        ([1, 1, 1, 1], None, "at least 2 classes. Got 1 class"),
        ([0.5, 0.1, 0.2, 0.3], None, "continuous"),
        ([0, 1, 0, 1], {0: 0, 1: 0}, "`class_weight` must not be negative"),
        ([0, 1, 0, 1], {0: -1, 1: 1}, "`class_weight` must not be negative"),
    ],
)
def test_targets_that_say_nothing_are_refused(y, class_weight, match):
    with pytest.raises(ValueError, match=match):
        encode_classes(np.array(y), WEIGHT, class_weight)


def test_a_column_of_classes_is_taken_with_a_warning():
    y = np.array([[0], [1], [1], [0]])
    with pytest.warns(UserWarning, match="column-vector"):
        encoded = encode_classes(y, WEIGHT, None)
    assert encoded.values.tolist() == [0, 1, 1, 0]


def test_targets_of_a_dataset_are_its_labels_unless_given():
    images, labels = np.zeros((4, 1, 2, 2)), np.array([3, 1, 1, 3])
    dataset = Pictures(images, labels)
    assert targets_of(dataset, None).tolist() == [3, 1, 1, 3]
    assert targets_of(dataset, [0, 1, 0, 1]) == [0, 1, 0, 1]
    assert targets_of(images, None) is None


def test_labels_are_read_of_each_item_where_none_are_listed():
    tensors = TensorDataset(torch.zeros(3, 1, 2, 2), torch.tensor([2, 0, 2]))
    assert labels_of(tensors).tolist() == [2, 0, 2]
    named = Labelled([(torch.zeros(1, 2, 2), name) for name in "xyx"])
    assert labels_of(named).tolist() == ["x", "y", "x"]


def test_listed_labels_are_taken_where_the_items_return_the_same():
    read = []

    class Counts(Labelled):
        targets = tuple(i % 2 for i in range(100))

        def __getitem__(self, i):
            read.append(i)
            return super().__getitem__(i)

    image = torch.zeros(1, 2, 2)
    dataset = Counts([(image, i % 2) for i in range(100)])
    assert tuple(labels_of(dataset).tolist()) == Counts.targets
    assert len(read) < 50


def test_a_dataset_without_labels_is_refused():
    with pytest.raises(ValueError, match="Pictures has no labels, and y is None"):
        labels_of(Pictures(np.zeros((4, 1, 2, 2))))


def test_numbers_taken_for_classes_are_told():
    y = np.repeat(np.arange(25.0), 2)
    with pytest.warns(UserWarning, match=r"25 classes in 50 rows.*JointPruneRegressor"):
        encode_classes(y, np.ones(50), None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encode_classes(np.repeat(np.arange(25), 4), np.ones(100), None)
        encode_classes(np.arange(6), np.ones(6), None)  # few of all


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("Int64", [2**60, 2**60 + 1]),  # one number as floats
        ("UInt8", [1, 2]),
        ("boolean", [True, False]),
        ("bool[pyarrow]", [True, False]),
        ("int64[pyarrow]", [2**60, 2**60 + 1]),
    ],
)
def test_labels_of_pandas_own_types_stay_what_they_are(dtype, values):
    read = read_labels(pd.Series(values, dtype=dtype))
    assert read.tolist() == values and read.dtype.kind in "biu"


def test_labels_of_other_kinds_are_left_alone():
    for y in (None, [1, 2], ["a", "b"], pd.Series(["a"]), np.array([[True, 0.5]])):
        assert read_labels(y) is y


@pytest.mark.parametrize(
    ("y", "says"),
    [
        (["a", None], "a label for each row. Got None in row 1"),
        (pd.Series(["a", None]), "a label for each row. Got nan in row 1"),
        (np.array([1, "a"], dtype=object), "Got 1 as an object; convert"),
        (np.array([True, False], dtype=object), "Got True as an object; convert"),
        ([("a", "b"), ("a",)], "lists of several lengths; .*MultiLabelBinarizer"),
        (EVENTS, "class labels. Got events and times"),
    ],
)
def test_what_are_no_labels_is_refused(y, says):
    with pytest.raises(ValueError, match=f"(y must|type of y:) .*{says}"):
        read_labels(y)


@pytest.mark.parametrize("values", [(-1, 1), (1, 2)])
def test_indicators_other_than_0_and_1_are_refused(values):
    y = np.array(values)[np.eye(4, dtype=int)]
    with pytest.raises(ValueError, match="each must be 0 or 1"):
        encode_classes(y, np.ones(4), None)


@pytest.mark.parametrize(
    "y",
    [
        EVENTS,
        pd.Series(pd.to_datetime(["2026"])),
        np.array([1], dtype="m8[h]"),
        csr_matrix(np.eye(3)),
    ],
)
def test_times_are_no_numbers_to_predict(y):
    with pytest.raises(ValueError, match=r"y must (hold numbers|be dense). Got"):
        refuse_no_numbers(y)


@pytest.mark.parametrize("y", [[0.0, 1.0, np.nan], [[0.0, 1.0]] * 2 + [[0.0, np.nan]]])
def test_rows_without_a_number_to_predict_are_named(y):
    with pytest.raises(ValueError, match="Got nan in row 2"):
        refuse_no_numbers(y)


@pytest.mark.parametrize("factor", [np.nan, np.inf, "1", None])
def test_factors_of_classes_are_finite_numbers(factor):
    with pytest.raises(ValueError, match=r"`class_weight` .* finite .* class 0"):
        encode_classes(np.arange(4) % 2, np.ones(4), {0: factor})


def test_targets_too_small_to_scale_are_refused():
    with pytest.raises(ValueError, match="y holds no number above 1e-150"):
        encode_numbers(np.array([1e-300, 0.0]), np.ones(2))
