import numpy as np
import pytest
from _pictures import make
from scipy.sparse import csr_matrix
from sklearn.metrics import accuracy_score
from torchvision.datasets import FakeData
from torchvision.transforms.functional import to_tensor


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
