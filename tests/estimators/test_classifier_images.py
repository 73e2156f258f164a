"""`JointPruneClassifier` on images, and what is built on it."""

import numpy as np
import pytest
import torch
from _helpers import cross_validated
from _pictures import QUICK, Labelled, SmallConvNet, make
from sklearn.base import clone
from skorch.callbacks import Callback

from skjointprune import (
    ImageInput,
    JointPruneClassifier,
    JointPruneRegressor,
    joint_prune_path,
)


def test_what_says_the_class_is_kept_and_the_noise_around_it_cropped(pictures, cropped):
    support = cropped.get_support()
    assert support.shape == (3, 8, 9)
    assert support.any(axis=(1, 2)).tolist() == [False, True, False]
    rows, columns = support.any(axis=(0, 2)), support.any(axis=(0, 1))
    assert rows[2:5].sum() >= 2
    assert rows.sum() <= 6
    assert columns[3:7].sum() >= 2
    assert columns.sum() <= 6
    assert cropped.score(*pictures) > 0.95
    assert cropped.report_.pruned.inputs == support.sum()
    assert cropped.report_.pruned.macs < cropped.report_.dense.macs / 2


def test_images_shrink_while_sparsifying_and_not_when_it_ends(pictures):
    sizes = []

    class Watch(Callback):
        def on_batch_end(self, net, batch=None, training=False, **kwargs):
            if training:
                sizes.append(batch[0].shape[2:].numel())

    clf = make(
        images=ImageInput(groups="row"),
        n_features_to_select=3,
        max_epochs=8,
        retrain_epochs=1,
        callbacks=[Watch()],
    ).fit(*pictures)
    n_retraining = clf.history_[-1, "train_batch_count"]
    while_sparsifying, after = sizes[:-n_retraining], sizes[-n_retraining:]
    assert while_sparsifying == sorted(while_sparsifying, reverse=True)
    assert set(while_sparsifying) > {8 * 9, 3 * 9}
    assert set(after) == {while_sparsifying[-1]} == {3 * 9}


def test_retained_numbers_alone_have_importance(cropped):
    importances = cropped.feature_importances_
    assert importances.shape == (3, 8, 9)
    assert (importances[~cropped.get_support()] == 0).all()
    assert (importances[cropped.get_support()] > 0).all()
    assert cropped.feature_importances_se_.shape == importances.shape
    assert np.isnan(cropped.feature_importances_se_).all()


def test_module_takes_raw_cropped_images(pictures, cropped):
    X, _ = pictures
    c, r, w = np.nonzero(cropped.get_support())
    small = X[:, np.unique(c)][:, :, np.unique(r)][..., np.unique(w)]
    with torch.no_grad():
        logits = cropped.module_(torch.from_numpy(small).float())
    np.testing.assert_allclose(
        logits.softmax(1).numpy(), cropped.predict_proba(X), atol=1e-6
    )


def test_what_is_not_retained_does_not_matter(pictures, cropped):
    X, _ = pictures
    other = np.where(cropped.get_support(), X, 77).astype(X.dtype)
    np.testing.assert_array_equal(
        cropped.predict_proba(X), cropped.predict_proba(other)
    )


@pytest.mark.parametrize("kind", ["channel", "row", "column"])
def test_exactly_k_groups_of_one_kind_are_kept(pictures, kind):
    clf = make(images=ImageInput(groups=kind), n_features_to_select=2, max_epochs=10)
    support = clf.fit(*pictures).get_support()
    axis = ("channel", "row", "column").index(kind)
    sizes = [3, 8, 9]
    sizes[axis] = 2
    assert [
        int(support.any(axis=tuple({0, 1, 2} - {d})).sum()) for d in range(3)
    ] == sizes


@pytest.mark.parametrize("distillation", [0, 0.5])
def test_half_precision_trains_as_well(pictures, distillation):
    clf = make(amp=True, distillation=distillation).fit(*pictures)
    assert clf.score(*pictures) > 0.9
    assert {p.dtype for p in clf.module_.parameters()} == {torch.float32}


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_every_optimiser_prunes_images(pictures, optimizer):
    momentum = {"optimizer__momentum": 0.9} if optimizer == "sgd" else {}
    lr = 0.05 if optimizer == "sgd" else 5e-3
    clf = make(optimizer=optimizer, lr=lr, **momentum).fit(*pictures)
    assert clf.get_support().sum() < 3 * 8 * 9 / 2
    assert clf.score(*pictures) > 0.9


def test_regression_on_images(pictures):
    X, _ = pictures
    y = X[:, 1, 2:5, 3:7].mean(axis=(1, 2))
    reg = JointPruneRegressor(
        module=SmallConvNet, max_epochs=30, retrain_epochs=20, lr=5e-3, batch_size=32,
        random_state=0,
    ).fit(X, y)  # fmt: skip
    assert reg.score(X, y) > 0.8
    assert reg.predict(X).shape == (len(X),)


@pytest.mark.parametrize("name", ["vgg16", "resnet18"])
def test_named_networks_are_pruned_end_to_end(pictures, name):
    X, y = pictures
    clf = make(module=name, module__width=0.1, max_epochs=4, alpha=0.02)
    clf.fit(X, y)
    assert clf.report_.kept_whole == {}
    assert clf.report_.parameters_ratio < 1
    assert clf.report_.macs_ratio < 1
    assert clf.predict_proba(X).shape == (len(X), 2)


def test_instance_is_copied_and_left_alone(pictures):
    module = SmallConvNet((3, 8, 9), 2)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    make(module=module, max_epochs=2, retrain_epochs=1).fit(*pictures)
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())


class InPlace(SmallConvNet):
    """Changes what it is given."""

    def forward(self, X):
        return super().forward(X.mul_(0.5))


class OutOfPlace(SmallConvNet):
    def forward(self, X):
        return super().forward(X.mul(0.5))


@pytest.mark.parametrize("transform", [None, torch.Tensor.neg])
def test_a_module_may_change_what_it_is_given(pictures, transform):
    """A teacher, too, which runs on augmented images before the network does."""
    X = pictures[0].astype(np.float32)
    before = X.copy()
    params = {
        "standardize": False,
        "distillation": 0.5,
        "images": ImageInput(transform=transform),
    }
    one, other = (
        make(module=module, **params).fit(X, pictures[1])
        for module in (InPlace, OutOfPlace)
    )
    assert one.report_ == other.report_
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    np.testing.assert_array_equal(X, before)


def test_a_path_of_images_crops_more_from_point_to_point(pictures):
    X, y = pictures
    clf = make(retrain_epochs=40)
    path = joint_prune_path(X, y, n_alphas=4, estimator=clf, return_estimators=True)
    assert path.supports.shape == path.importances.shape == (4, 3, 8, 9)
    assert (np.diff(path.inputs) <= 0).all()
    assert path.inputs[0] > path.inputs[-1]
    for support, n, size, clf in zip(
        path.supports, path.inputs, path.sizes, path.estimators, strict=True
    ):
        assert support.sum() == n == size.inputs
        np.testing.assert_array_equal(clf.get_support(), support)
        assert clf.predict_proba(X).shape == (300, 2)
    most_accurate = path.estimators[int(np.argmax(path.scores))]
    assert most_accurate.score(X, y) > 0.9


def test_cross_validation_of_images_is_the_same_for_arrays_maps_and_datasets(
    pictures, tmp_path
):
    X, y = pictures
    np.save(tmp_path / "X.npy", X)
    cv = cross_validated(JointPruneClassifier, **QUICK, alphas=[0.05, 0.3], cv=2)
    cv.set_params(estimator__max_epochs=12, estimator__retrain_epochs=16)
    of_array = clone(cv).fit(X, y)
    assert of_array.alpha_ in (0.05, 0.3)
    assert of_array.score(X, y) > 0.9
    labelled = [
        (torch.from_numpy(x.copy()), label) for x, label in zip(X, y, strict=True)
    ]
    for same in (
        clone(cv).fit(np.load(tmp_path / "X.npy", mmap_mode="r"), y),
        clone(cv).fit(Labelled(labelled)),
    ):
        np.testing.assert_array_equal(same.support_, of_array.support_)
        np.testing.assert_array_equal(
            same.cv_results_["mean_test_score"],
            of_array.cv_results_["mean_test_score"],
        )


def test_weighted_rows_count_as_often_as_they_weigh(pictures):
    X, y = pictures
    weight = np.where(np.arange(len(X)) % 3, 1.0, 0.0)
    clf = make(max_epochs=3, retrain_epochs=2)
    some = clone(clf).fit(X[weight > 0], y[weight > 0])
    weighted = clone(clf).fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(some.support_, weighted.support_)
