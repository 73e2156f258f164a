import json
import pickle
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
import torch
from _helpers import assert_same, assert_same_estimator, passed_through
from sklearn.base import clone
from skorch.callbacks import Callback

from skjointprune import ImageInput, JointPruneClassifier, JointPruneRegressor, save
from skjointprune._data.targets import Classes
from skjointprune._estimators.fitted import adopt, fit_of
from skjointprune._files.fit_state import describe_fit, restore_fit

SMALL = {"alpha": 0.02, "max_epochs": 2, "retrain_epochs": 1, "random_state": 0}


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
    adopt(clf, replace(fit_of(clf), targets=Classes(labels)))
    with pytest.raises(TypeError, match=r"`classes_`.*labels"):
        save(clf, tmp_path / "model")


def regressor(planted):
    X, _ = planted
    reg = JointPruneRegressor(
        (4,), feature_groups=[[0, 1]], feature_costs=np.arange(1.0, 13), **SMALL
    )
    return reg.fit(X, X[:, :2])


MADE = {
    "columns": lambda request: request.getfixturevalue("joint"),
    "several numbers": lambda request: regressor(request.getfixturevalue("planted")),
    "images": lambda request: request.getfixturevalue("cropped"),
}


@pytest.mark.parametrize("make", MADE.values(), ids=MADE.keys())
def test_a_fit_comes_back_from_json_and_tensors(make, request):
    estimator = make(request)
    fit = fit_of(estimator)
    said, tensors = describe_fit(fit, estimator.get_params(deep=False))
    back = restore_fit(clone(estimator), json.loads(json.dumps(said)), tensors)
    for name in ("support", "importances", "importance_errors", "report", "targets"):
        assert_same(getattr(fit, name), getattr(back, name))
    for field in fields(fit.inputs):
        if field.name != "options":
            assert_same(
                getattr(fit.inputs, field.name), getattr(back.inputs, field.name)
            )
    assert back.history[:, "train_loss"] == fit.history[:, "train_loss"]
    assert back.history[:, "phase"] == fit.history[:, "phase"]
    state = fit.network.state_dict()
    assert back.network.state_dict().keys() == state.keys()
    for name, tensor in back.network.state_dict().items():
        assert torch.equal(tensor, state[name])


def test_saliencies_of_earlier_files_are_read_as_losses(joint):
    fit = fit_of(joint)
    said, tensors = describe_fit(fit, joint.get_params(deep=False))
    del said["importance_errors"]
    back = restore_fit(clone(joint), said, tensors)
    np.testing.assert_allclose(back.importances, fit.importances**2)
    assert np.isnan(back.importance_errors).all()
    assert back.importance_errors.shape == fit.importances.shape


def test_images_come_back_with_the_parameters_of_their_estimator(cropped):
    fit = fit_of(cropped)
    said, tensors = describe_fit(fit, cropped.get_params(deep=False))
    estimator = clone(cropped).set_params(images=ImageInput(patch_size=7))
    back = restore_fit(estimator, said, tensors)
    assert back.inputs.options is estimator.images
    assert back.inputs.kinds == fit.inputs.kinds


def test_describing_a_fit_leaves_it_as_it_was(joint):
    fit = fit_of(joint)
    before = {name: t.clone() for name, t in fit.network.state_dict().items()}
    _, tensors = describe_fit(fit, joint.get_params(deep=False))
    for tensor in tensors.values():
        tensor.zero_()
    after = fit.network.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_a_table_of_categories_and_gaps_comes_back(tmp_path):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "city": rng.choice(["Rome", "Oslo", "Bonn"], 80),
            "age": np.where(rng.random(80) < 0.2, np.nan, rng.normal(size=80)),
        }
    )
    clf = JointPruneClassifier((4,), **SMALL).fit(X, X["city"] == "Oslo")
    loaded = passed_through(clf, tmp_path)
    new = X.assign(city="Nice")
    for rows in (X, new):
        np.testing.assert_array_equal(
            loaded.predict_proba(rows), clf.predict_proba(rows)
        )
    assert loaded.categories_ == clf.categories_ == {"city": ["Bonn", "Oslo", "Rome"]}
