"""Files of format 1. Run as a script, this wrote the file in tests/data."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from _helpers import OF_CV, cross_validated, with_digest, zipped
from _pictures import SmallConvNet, make
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from sklearn.base import clone

from skjointprune import (
    ImageInput,
    InputFeatureSelector,
    JointPruneClassifier,
    JointPruneCV,
    JointPruneRegressor,
    load,
    save,
)
from skjointprune._files.format_1 import upgrade

SMALL = {"alpha": 0.02, "max_epochs": 4, "retrain_epochs": 1, "random_state": 0}

DATA = Path(__file__).parents[1] / "data"


def test_file_of_version_0_1_gives_the_predictions_it_gave():
    loaded = load(DATA / "classifier_0_1.zip")
    np.testing.assert_array_equal(loaded.classes_, ["high", "low", "mid"])
    assert loaded.get_support(indices=True).tolist() == STORED_SUPPORT
    assert list(loaded.get_feature_names_out()) == [f"x{i}" for i in STORED_SUPPORT]
    proba = loaded.predict_proba(rows_of_old())
    np.testing.assert_allclose(proba, STORED_PROBA, atol=1e-5)
    assert loaded.report_.pruned.inputs == len(STORED_SUPPORT)
    clone(loaded)


def rows_of_old():
    return (np.arange(24).reshape(4, 6) * 0.6180339887 % 1 - 0.5) * 4


STORED_SUPPORT = [1, 4]


STORED_PROBA = [
    [0.6214625, 0.0013758, 0.3771617],
    [0.3821654, 0.0005617, 0.6172728],
    [0.0, 0.9902139, 0.0097861],
    [0.5797708, 0.0028775, 0.4173519],
]


def fit_old():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 6))
    y = np.array(["low", "mid", "high"])[np.digitize(X[:, 1] - X[:, 4], [-0.7, 0.7])]
    return JointPruneClassifier(
        (8,),
        n_features_to_select=2,
        max_epochs=8,
        retrain_epochs=4,
        lr=1e-2,
        random_state=0,
    ).fit(X, y)


# The names of format 1, which the first versions wrote.
OF_IMAGES = {
    "groups": "input_groups",
    "patch_size": "patch_size",
    "transform": "train_transform",
    "transform_batches": "transform_batches",
    "num_workers": "num_workers",
}


def of_fit(fit):
    """Return the attributes that an estimator had in format 1."""
    inputs, targets = fit["inputs"], fit["targets"]
    shape = inputs["shape"]
    had = {
        "input_shape_": {"type": "tuple", "value": shape},
        "n_features_in_": shape[0],
        "support_": fit["support"],
        "feature_importances_": fit["importances"],
    }
    if inputs["kind"] == "TableInputs":
        had["feature_groups_"] = inputs["groups"]
        if inputs["names"] is not None:
            had["feature_names_in_"] = inputs["names"]
    if targets["kind"] == "Numbers":
        return had | {"_n_outputs": targets["n_outputs"], "_flat": targets["flat"]}
    if targets["kind"] == "Classes":
        return had | {"classes_": targets["labels"], "_indicator": False}
    n = targets["n_outputs"]
    classes = {"type": "array", "dtype": "int64", "shape": [n], "value": [*range(n)]}
    return had | {"classes_": classes, "_indicator": True}


def as_format_1(model, tensors, prefix=""):
    """Return a model of format 2 as of format 1; rename its tensors."""
    if model["class"] == "InputFeatureSelector":
        inner = {
            name: as_format_1(model[name], tensors, f"{prefix}{name}.")
            for name in ("estimator", "estimator_")
            if name in model
        }
        return model | inner
    if model["class"] == "JointPruneCV":
        within = f"{prefix}estimator_."
        single = model.get("estimator_", model["estimator"])
        old = as_format_1(single, tensors, within)
        old["class"] += "CV"
        old["params"] |= model["params"]
        del old["params"]["alpha"]
        if "attributes" in model:
            old["attributes"] |= model["attributes"]
        for name in [name for name in tensors if name.startswith(within)]:
            tensors[prefix + name.removeprefix(within)] = tensors.pop(name)
        return old
    images = model.get("images", ImageInput().get_params())
    params = model["params"] | {OF_IMAGES[n]: v for n, v in images.items()}
    old = {"class": model["class"], "params": params}
    if "module" in model:
        old["module"] = model["module"]
    if "fit" in model:
        fit = model["fit"]
        old["attributes"] = of_fit(fit)
        old |= {name: fit[name] for name in ("history", "report", "network")}
    return old


def saved_as_format_1(estimator, path):
    save(estimator, path)
    with zipfile.ZipFile(path) as archive:
        (model, text), (weights, data) = (
            (name, archive.read(name)) for name in archive.namelist()
        )
    tensors = load_tensors(data)
    new = json.loads(text)
    old = as_format_1(new, tensors) | {"versions": new["versions"]}
    members = [(model, json.dumps(old).encode()), (weights, save_tensors(tensors))]
    path.write_bytes(with_digest(lambda tail: zipped(members, tail=tail)))
    return path


def cv_of(kind, X, y):
    params = {"hidden_layer_sizes": (3,), "alphas": [0.01, 0.05], "cv": 2}
    return cross_validated(kind, **params, **SMALL).fit(X, y)


# What each is fitted to: columns of `planted`, with y one of these.
Y = {
    "classes": lambda X: np.array(["no", "yes"])[(X[:, 1] > 0).astype(int)],
    "labels": lambda X: (X[:, :2] > 0).astype(int),
    "numbers": lambda X: X[:, 1],
    "rows of numbers": lambda X: X[:, :2],
}
OLD = {
    "classifier": (lambda: JointPruneClassifier((3,), **SMALL), "classes"),
    "labels": (lambda: JointPruneClassifier((3,), **SMALL), "labels"),
    "regressor": (lambda: JointPruneRegressor((3,), **SMALL), "numbers"),
    "huber": (lambda: JointPruneRegressor((3,), loss="huber", **SMALL), "numbers"),
    "targets": (lambda: JointPruneRegressor((3,), **SMALL), "rows of numbers"),
    "groups": (
        lambda: JointPruneClassifier((3,), feature_groups=[[0, 5]], **SMALL),
        "classes",
    ),
    "selector": (
        lambda: InputFeatureSelector(JointPruneClassifier((3,), **SMALL), alpha=0.1),
        "classes",
    ),
}


@pytest.mark.parametrize(("make", "y"), OLD.values(), ids=OLD.keys())
def test_what_format_1_held_comes_back(planted, tmp_path, make, y):
    X, _ = planted
    estimator = make().fit(X, Y[y](X))
    loaded = load(saved_as_format_1(estimator, tmp_path / "old"))
    assert type(loaded) is type(estimator)
    assert repr(loaded) == repr(estimator)
    np.testing.assert_array_equal(loaded.get_support(), estimator.get_support())
    np.testing.assert_array_equal(
        loaded.get_group_support(), estimator.get_group_support()
    )
    if hasattr(estimator, "transform"):
        np.testing.assert_array_equal(loaded.transform(X), estimator.transform(X))
        loaded, estimator = loaded.estimator_, estimator.estimator_
    predicted = estimator.predict(X)
    np.testing.assert_array_equal(loaded.predict(X), predicted)
    assert loaded.predict(X).dtype == predicted.dtype
    assert loaded.report_ == estimator.report_
    assert loaded.n_iter_ == estimator.n_iter_ == 5


def test_names_of_columns_come_back_from_format_1(frame, tmp_path):
    clf = JointPruneClassifier((3,), **SMALL).fit(*frame)
    loaded = load(saved_as_format_1(clf, tmp_path / "old"))
    assert loaded.feature_names_in_.tolist() == frame[0].columns.tolist()
    assert loaded.feature_names_in_.dtype == object
    np.testing.assert_array_equal(loaded.predict(frame[0]), clf.predict(frame[0]))


@pytest.mark.parametrize(
    ("kind", "y"),
    [(JointPruneClassifier, "classes"), (JointPruneRegressor, "numbers")],
)
def test_what_was_cross_validated_itself_is_now_around_an_estimator(
    planted, tmp_path, kind, y
):
    X, _ = planted
    cv = cv_of(kind, X, Y[y](X))
    loaded = load(saved_as_format_1(cv, tmp_path / "old"))
    assert type(loaded) is JointPruneCV
    assert type(loaded.estimator_) is kind
    own = [name for name in OF_CV if name != "alphas"]
    for name in own:
        assert getattr(loaded, name) == getattr(cv, name)
    assert loaded.estimator_.get_params() == cv.estimator_.get_params()
    assert loaded.alpha_ == cv.alpha_ == loaded.estimator_.alpha
    for name, column in cv.cv_results_.items():
        np.testing.assert_array_equal(loaded.cv_results_[name], column)
    np.testing.assert_array_equal(loaded.predict(X), cv.predict(X))
    assert not hasattr(loaded.estimator, "support_")


def test_a_selector_of_what_was_cross_validated_comes_back(planted, tmp_path):
    X, y = planted
    params = {"hidden_layer_sizes": (3,), "alphas": [0.01, 0.05], "cv": 2}
    inner = cross_validated(JointPruneClassifier, **params, **SMALL)
    selector = InputFeatureSelector(inner).fit(X, y)
    loaded = load(saved_as_format_1(selector, tmp_path / "old"))
    np.testing.assert_array_equal(loaded.transform(X), selector.transform(X))
    assert type(loaded.estimator) is type(loaded.estimator_) is JointPruneCV


@pytest.mark.parametrize(
    "images", [None, ImageInput(groups=("row", "column"), patch_size=2, num_workers=1)]
)
def test_parameters_of_images_are_in_an_object_now(pictures, tmp_path, images):
    X, y = (a[:60] for a in pictures)
    clf = make(images=images, max_epochs=2, retrain_epochs=1, alpha=0.05).fit(X, y)
    path = saved_as_format_1(clf, tmp_path / "old")
    loaded = load(path, module=SmallConvNet)
    if images is None:
        assert loaded.images is None
    else:
        assert loaded.images.get_params() == images.get_params()
    assert loaded.input_shape_ == (3, 8, 9)
    np.testing.assert_array_equal(loaded.get_support(), clf.get_support())
    np.testing.assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))


def test_a_parameter_of_images_that_a_table_had_by_default_is_dropped():
    old = {
        "class": "JointPruneClassifier",
        "params": {"alpha": 0.1, "input_groups": None, "patch_size": 4},
    }
    before = json.loads(json.dumps(old))
    tensors = {"weight": torch.ones(2)}
    upgraded, renamed = upgrade(old, tensors)
    assert upgraded == {"class": "JointPruneClassifier", "params": {"alpha": 0.1}}
    assert old == before and renamed == tensors and renamed is not tensors


if __name__ == "__main__":
    torch.set_num_threads(1)
    old = fit_old()
    DATA.mkdir(exist_ok=True)
    save(old, DATA / "classifier_0_1.zip")
    print(old.get_support(indices=True).tolist())
    print(old.predict_proba(rows_of_old()).round(7).tolist())
