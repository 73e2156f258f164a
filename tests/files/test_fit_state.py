import pickle

import numpy as np
import pytest
import torch
from _helpers import assert_same_estimator, passed_through
from skorch.callbacks import Callback

from skjointprune import JointPruneClassifier, save
from skjointprune._data.targets import Classes

SMALL = {"max_epochs": 2, "retrain_epochs": 1, "random_state": 0}


@pytest.mark.parametrize(
    "labels",
    [
        np.array([3, -7]),
        np.array([2, 250], dtype=np.uint8),
        np.array([False, True]),
        np.array(["no", "yes, indeed"]),
        np.array(["no", "yes"], dtype=object),
        np.array([-1.0, 7.0]),
    ],
    ids=lambda labels: labels.dtype.name,
)
def test_labels_come_back(planted, tmp_path, labels):
    X, y = planted
    clf = JointPruneClassifier((4,), **SMALL).fit(X, labels[y])
    loaded = passed_through(clf, tmp_path)
    assert_same_estimator(clf, loaded, X)
    assert loaded.classes_.dtype == clf.classes_.dtype
    assert loaded.predict(X).dtype == clf.predict(X).dtype


def test_several_labels_come_back(planted, tmp_path):
    X, _ = planted
    clf = JointPruneClassifier((4,), **SMALL).fit(X, (X[:, :3] > 0).astype(int))
    loaded = passed_through(clf, tmp_path)
    assert_same_estimator(clf, loaded, X)
    assert loaded.predict(X).shape == (400, 3)


class Records(Callback):
    def on_epoch_end(self, net, **kwargs):
        net.history.record("number", np.float32(0.5))
        net.history.record("thing", object())


def test_history_keeps_numbers_that_callbacks_record(planted, tmp_path):
    clf = JointPruneClassifier((4,), callbacks=[Records()], **SMALL).fit(*planted)
    with pytest.warns(UserWarning, match="left out"):
        loaded = passed_through(clf, tmp_path)
    assert loaded.history_[:, "number"] == [0.5, 0.5, 0.5]
    assert loaded.history_[:, "phase"] == ["sparsify", "sparsify", "retrain"]
    assert "thing" not in loaded.history_[0]


def test_device_that_is_not_there_is_left_for_the_cpu(fitted, planted, tmp_path):
    clf = pickle.loads(pickle.dumps(fitted)).set_params(device="xpu:7")
    loaded = passed_through(clf, tmp_path)
    assert loaded.device == "xpu:7"
    assert loaded.net_.device == torch.device("cpu")
    np.testing.assert_array_equal(
        loaded.predict(planted[0]), fitted.predict(planted[0])
    )


def test_labels_of_other_types_are_refused(planted, tmp_path):
    X, y = planted
    labels = np.array([(0, 1), None], dtype=object)
    labels[:] = [(1,), (2,)]
    clf = JointPruneClassifier((4,), **SMALL).fit(X, y)
    clf._targets = Classes(labels)
    with pytest.raises(TypeError, match=r"`classes_`.*labels"):
        save(clf, tmp_path / "model")
