import re
import warnings
from multiprocessing import get_context

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline
from torch import nn
from torch.utils.data import Dataset, IterableDataset, TensorDataset
from torchvision.datasets import FakeData
from torchvision.transforms import v2
from torchvision.transforms.functional import to_tensor

from skjointprune import (
    InputFeatureSelector,
    JointPruneClassifier,
    JointPruneClassifierCV,
    JointPruneRegressor,
    _reading,
    _sparsify,
    joint_prune_path,
)
from skjointprune._costs import macs_of_weights
from skjointprune._groups import find_groups
from skjointprune._images import Images, InputGates
from skjointprune._penalties import PENALTIES
from skjointprune._reading import read_images
from skjointprune._sparsify import Prices, Sparsifier


class SmallConvNet(nn.Module):
    def __init__(self, input_shape, n_outputs, pool=1, padding=1):
        super().__init__()
        self.conv1 = nn.Conv2d(input_shape[0], 8, 3, padding=padding, bias=False)
        self.norm1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=padding)
        self.pool = nn.AdaptiveAvgPool2d(pool)
        self.head = nn.Linear(8 * pool * pool, n_outputs)

    def forward(self, X):
        X = self.norm1(self.conv1(X)).relu()
        return self.head(self.pool(self.conv2(X).relu()).flatten(1))


@pytest.fixture(scope="module")
def pictures():
    """Images of noise whose class is in rows 2 to 4, columns 3 to 6, of channel 1."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (300, 3, 8, 9)).astype(np.uint8)
    y = rng.integers(0, 2, 300)
    X[y == 1, 1, 2:5, 3:7] //= 3
    X.flags.writeable = False
    return X, np.where(y == 1, "dark", "light")


class Labelled(Dataset):
    """Pairs of an image and its label."""

    def __init__(self, pairs):
        self.pairs = pairs

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, i):
        return self.pairs[i]


QUICK = {
    "module": SmallConvNet,
    "max_epochs": 25,
    "retrain_epochs": 6,
    "lr": 5e-3,
    "batch_size": 32,
    "random_state": 0,
}


def make(**params):
    return JointPruneClassifier(**(QUICK | {"alpha": 0.4} | params))


@pytest.fixture(scope="module")
def fitted(pictures):
    return make(alpha=0.5, max_epochs=35).fit(*pictures)


def test_what_says_the_class_is_kept_and_the_noise_around_it_cropped(pictures, fitted):
    support = fitted.get_support()
    assert support.shape == (3, 8, 9)
    assert support.any(axis=(1, 2)).tolist() == [False, True, False]
    rows, columns = support.any(axis=(0, 2)), support.any(axis=(0, 1))
    assert rows[2:5].sum() >= 2
    assert rows.sum() <= 6
    assert columns[3:7].sum() >= 2
    assert columns.sum() <= 6
    assert fitted.score(*pictures) > 0.95
    assert fitted.report_.pruned.inputs == support.sum()
    assert fitted.report_.pruned.macs < fitted.report_.dense.macs / 2


def test_retained_numbers_alone_have_importance(fitted):
    importances = fitted.feature_importances_
    assert importances.shape == (3, 8, 9)
    assert (importances[~fitted.get_support()] == 0).all()
    assert (importances[fitted.get_support()] > 0).all()


def test_module_takes_raw_cropped_images(pictures, fitted):
    X, _ = pictures
    c, r, w = np.nonzero(fitted.get_support())
    small = X[:, np.unique(c)][:, :, np.unique(r)][..., np.unique(w)]
    with torch.no_grad():
        logits = fitted.module_(torch.from_numpy(small).float())
    np.testing.assert_allclose(
        logits.softmax(1).numpy(), fitted.predict_proba(X), atol=1e-6
    )


def test_what_is_not_retained_does_not_matter(pictures, fitted):
    X, _ = pictures
    other = np.where(fitted.get_support(), X, 77).astype(X.dtype)
    np.testing.assert_array_equal(fitted.predict_proba(X), fitted.predict_proba(other))


class Pictures(Dataset):
    def __init__(self, X, y=None):
        self.X, self.y = X, y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        image = torch.from_numpy(self.X[i].copy())
        return image if self.y is None else (image, self.y[i])


class Entries(Pictures):
    def __getitem__(self, i):
        return {"image": self.X[i], "label": self.y[i]}


class Stream(IterableDataset):
    def __iter__(self):
        return iter(())


def test_arrays_tensors_maps_and_datasets_give_the_same_fit(pictures, tmp_path):
    X, y = pictures
    clf = make(max_epochs=3, retrain_epochs=2)
    expected = clone(clf).fit(X, y)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    codes = (y == "light").astype(int)
    for given, labels in (
        (X.astype(np.float64), y),
        (torch.from_numpy(X.copy()), y),
        (mapped, y),
        (Pictures(X), y),
        (Pictures(X, y), None),
        (TensorDataset(torch.from_numpy(X.copy()), torch.from_numpy(codes)), None),
    ):
        fitted = clone(clf).fit(given, labels)
        np.testing.assert_array_equal(fitted.support_, expected.support_)
        np.testing.assert_array_equal(
            fitted.predict_proba(given), expected.predict_proba(X)
        )


def test_datasets_of_torchvision_work_as_they_come():
    pil = FakeData(40, image_size=(3, 8, 9), num_classes=2)
    tensors = FakeData(40, image_size=(3, 8, 9), num_classes=2, transform=to_tensor)
    for dataset in (pil, tensors):
        clf = make(max_epochs=2, retrain_epochs=1).fit(dataset)
        assert clf.classes_.tolist() == [0, 1]
        assert clf.predict(dataset).shape == (40,)


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


def test_no_more_than_a_batch_of_images_is_read_at_once(pictures, monkeypatch):
    X, y = (np.concatenate([a] * 4) for a in pictures)
    read = []

    def watched(source, rows):
        read.append(len(rows))
        return read_images(source, rows)

    monkeypatch.setattr(_reading, "read_images", watched)
    make(max_epochs=1, retrain_epochs=1).fit(X, y).predict(X)
    assert sum(read) > 3 * len(X)
    assert max(read) <= 512


def noisy(image):
    return image + 20 * torch.rand(())


@pytest.mark.parametrize("of_random", [False, True])
def test_processes_that_read_ahead_change_nothing(pictures, of_random):
    X, y = pictures
    clf = make(max_epochs=3, retrain_epochs=2, train_transform=noisy, num_workers=2)
    if not of_random:
        clf.set_params(train_transform=None)
    fitted = clf.fit(X, y)
    same = clone(clf) if of_random else clone(clf).set_params(num_workers=0)
    same.fit(X, y)
    np.testing.assert_array_equal(fitted.support_, same.support_)
    np.testing.assert_array_equal(fitted.predict_proba(X), same.predict_proba(X))


def test_augmentation_in_processes_is_random(pictures):
    X, _ = pictures
    args = X, np.arange(40), torch.zeros(40), torch.ones(40)
    images = Images(*args, lambda image: noisy(0 * image), num_workers=2)
    at = [slice(start, start + 10) for start in range(0, 40, 10)]
    added = []
    for _ in range(2):
        torch.randperm(2)  # as before each epoch
        added += [X[:, 0, 0, 0] for X, _ in images.batches(at)]
    assert len(torch.cat(added).unique()) == 80


def test_folds_in_processes_may_read_ahead(pictures):
    X, y = (a[:60] for a in pictures)
    clf = make(max_epochs=1, retrain_epochs=1, alpha=1e-3, batch_size=8)
    scores = [
        cross_val_score(
            clone(clf).set_params(num_workers=n),
            X,
            y,
            cv=2,
            n_jobs=2,
            error_score="raise",
        )
        for n in (0, 1)
    ]
    np.testing.assert_array_equal(*scores)


def fit_and_predict(clf, X, y):
    return clf.fit(X, y).predict_proba(X)


def test_a_process_that_may_start_none_reads_itself(pictures):
    X, y = (a[:40] for a in pictures)
    clf = make(max_epochs=1, retrain_epochs=1, num_workers=2, batch_size=8)
    with get_context("spawn").Pool(1) as pool:
        there = pool.apply(fit_and_predict, (clf, X, y))
    np.testing.assert_allclose(there, fit_and_predict(clf, X, y), rtol=1e-5)


class Broken(Labelled):
    def __getitem__(self, i):
        if i == 5:
            raise OSError("truncated file")
        return super().__getitem__(i)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_image_that_cannot_be_read_says_so(num_workers):
    broken = Broken([(torch.zeros(3, 8, 9), i % 2) for i in range(40)])
    # no statistics, which read all at once: then it is met while training
    clf = make(num_workers=num_workers, batch_size=8, standardize=False)
    says = "DataLoader worker process(.|\n)*truncated" if num_workers else "^truncated"
    with pytest.raises(OSError, match=says):
        clf.fit(broken, np.arange(40) % 2)
    assert not hasattr(clf, "support_")


@pytest.mark.parametrize("kind", ["channel", "row", "column"])
def test_exactly_k_groups_of_one_kind_are_kept(pictures, kind):
    clf = make(input_groups=kind, n_features_to_select=2, max_epochs=10)
    support = clf.fit(*pictures).get_support()
    axis = ("channel", "row", "column").index(kind)
    sizes = [3, 8, 9]
    sizes[axis] = 2
    assert [
        int(support.any(axis=tuple({0, 1, 2} - {d})).sum()) for d in range(3)
    ] == sizes


@pytest.mark.parametrize(
    ("kind", "k", "numbers"), [("pixel", 10, 3), ("patch", 2, 3), ("feature", 20, 1)]
)
def test_what_cannot_be_cropped_is_zeroed_and_its_work_counted(
    pictures, kind, k, numbers
):
    X, y = pictures
    clf = make(input_groups=kind, n_features_to_select=k, patch_size=2, max_epochs=10)
    clf.fit(X, y)
    support = clf.get_support()
    size = {"pixel": 1, "patch": 4, "feature": 1}[kind]
    assert k * numbers <= support.sum() <= k * numbers * size
    box = [support.any(axis=a).sum() for a in ((1, 2), (0, 2), (0, 1))]
    if kind != "feature":
        first = clf.module_.get_submodule("network.conv1")
        assert clf.report_.pruned.macs > np.prod(box[1:]) * first.weight[:, 0].numel()
    other = np.where(support, X, 0).astype(X.dtype)
    np.testing.assert_array_equal(clf.predict_proba(X), clf.predict_proba(other))
    assert clf.report_.pruned.inputs == support.sum()


def test_selector_gives_smaller_images_of_the_same_type(pictures):
    X, y = pictures
    selector = InputFeatureSelector(make(retrain_epochs=0)).fit(X, y)
    small = selector.transform(X)
    box = [selector.get_support().any(axis=a).sum() for a in ((1, 2), (0, 2), (0, 1))]
    assert small.shape == (len(X), *box)
    assert small.dtype == X.dtype
    assert selector.get_support(indices=True).size == selector.get_support().sum()


def test_selector_puts_images_back_in_place(pictures):
    X, y = pictures
    selector = InputFeatureSelector(make(retrain_epochs=0)).fit(X, y)
    back = selector.inverse_transform(selector.transform(X))
    np.testing.assert_array_equal(back, np.where(selector.get_support(), X, 0))
    assert back.dtype == X.dtype
    with pytest.raises(ValueError, match=r"Got \(3, 8, 9\); transform them first"):
        selector.inverse_transform(X)


def test_selector_of_images_names_what_it_retains(pictures):
    selector = InputFeatureSelector(make(retrain_epochs=0)).fit(*pictures)
    names = [
        f"x{channel}_{row}_{column}"
        for channel, row, column in np.argwhere(selector.get_support())
    ]
    assert selector.get_feature_names_out().tolist() == names


def test_selector_refuses_to_put_images_into_frames(pictures):
    X, y = pictures
    selector = InputFeatureSelector(make(retrain_epochs=0)).fit(X, y)
    selector.set_output(transform="pandas")
    with pytest.raises(ValueError, match=r"frame.*'pandas'.*set_output"):
        selector.transform(X)
    assert selector.set_output(transform="default").transform(X).ndim == 4


def test_selector_and_classifier_compose_in_a_pipeline(pictures):
    X, y = pictures
    pipe = Pipeline(
        [
            ("select", InputFeatureSelector(make(retrain_epochs=0))),
            ("clf", make(max_epochs=10, prune="weights")),
        ]
    )
    assert pipe.fit(X, y).score(X, y) > 0.9
    assert pipe["clf"].input_shape_ == pipe["select"].transform(X).shape[1:]


def test_rows_that_a_flat_network_cannot_lose_are_given_and_zeroed(pictures):
    flat = nn.Sequential(nn.Flatten(), nn.LazyLinear(2))
    flat(torch.zeros(1, 3, 8, 9))
    with pytest.warns(UserWarning, match=r"does not run on 3 x 9 images"):
        clf = make(module=flat, input_groups="row", n_features_to_select=3)
        clf.fit(*pictures)
    assert clf.get_support().any(axis=(0, 2)).sum() == 3
    assert clf.module_(torch.zeros(2, 3, 8, 9)).shape == (2, 2)
    other = np.where(clf.get_support(), pictures[0], 7).astype(np.uint8)
    np.testing.assert_array_equal(
        clf.predict_proba(pictures[0]), clf.predict_proba(other)
    )


def test_a_channel_that_the_network_cannot_lose_is_given_and_zeroed(pictures):
    X, y = pictures
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 9, 2))
    clf = make(module=flat, input_groups="feature", n_features_to_select=6)
    with pytest.warns(UserWarning, match=r"given 8 x 9"):
        clf.fit(X, y)
    lost = ~clf.get_support().any(axis=(1, 2))
    assert lost.any()
    other = np.where(lost[:, None, None], 7, X).astype(X.dtype)
    np.testing.assert_array_equal(clf.predict_proba(X), clf.predict_proba(other))


def test_images_too_small_for_the_network_are_filled_up_with_a_warning(pictures):
    class Valid(SmallConvNet):
        def __init__(self, input_shape, n_outputs):
            super().__init__(input_shape, n_outputs, padding=0)

    clf = make(module=Valid, input_groups=("row", "column"), alpha=0.3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clf.fit(*pictures)
    assert any("does not run on" in str(w.message) for w in caught)
    support = clf.get_support()
    assert min(support.any(axis=(0, 2)).sum(), support.any(axis=(0, 1)).sum()) < 5
    assert clf.report_.pruned.inputs == support.sum()
    assert clf.predict(pictures[0]).shape == (300,)


class Merging(nn.Module):
    """Takes two rows for one where images are half as large."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Linear(4 * 8 * 9, 2)

    def forward(self, X):
        return self.head(self.conv(X).relu().view(-1, 4 * 8 * 9))


def test_a_crop_keeps_rows_apart(pictures):
    clf = make(module=Merging, input_groups="row", n_features_to_select=4)
    with pytest.warns(UserWarning, match="given 8 x 9"):
        clf.fit(*pictures)
    assert clf.predict(pictures[0]).shape == (300,)


def test_channels_that_come_last_are_told(pictures):
    X, y = pictures
    with pytest.warns(UserWarning, match=r"8 channels of 9 x 3 .*moveaxis"):
        make(prune="weights").fit(np.moveaxis(X, 1, 3), y)


def test_a_dataset_of_several_sizes_is_refused():
    dataset = Labelled([(torch.zeros(1, 6 + i % 2, 6), i % 3) for i in range(30)])
    with pytest.raises(ValueError, match=r"one size. Got \[\(1, 6, 6\), \(1, 7, 6\)\]"):
        make().fit(dataset)


class OfOneSize(SmallConvNet):
    """Takes images of one size, as vision transformers do."""

    def __init__(self, input_shape, n_outputs):
        super().__init__(input_shape, n_outputs)
        self.size = input_shape[1:]

    def forward(self, X):
        torch._assert(X.shape[2] == self.size[0], "Wrong image height!")
        torch._assert(X.shape[3] == self.size[1], "Wrong image width!")
        return super().forward(X)


def test_a_network_for_one_size_gets_images_of_this_size(pictures):
    with pytest.warns(UserWarning, match="does not run on . x . images"):
        clf = make(module=OfOneSize).fit(*pictures)
    assert clf.module_[1].size == (8, 9)
    assert clf.score(*pictures) > 0.9


def test_augmented_images_train_but_do_not_score(pictures):
    X, y = pictures
    shapes = set()

    def flip(image):
        shapes.add((image.dtype, tuple(image.shape)))
        return image.flip(2) if torch.rand(()) < 0.5 else image

    clf = make(train_transform=flip, max_epochs=4, retrain_epochs=2).fit(X, y)
    assert shapes == {(torch.uint8, (3, 8, 9))}
    again = make(train_transform=flip, max_epochs=4, retrain_epochs=2).fit(X, y)
    np.testing.assert_array_equal(clf.predict_proba(X), again.predict_proba(X))


def test_a_batch_is_augmented_at_once_where_that_is_asked_for(pictures):
    X, y = pictures
    seen = []

    def flip(images):
        seen.append((images.dtype, tuple(images.shape[1:])))
        mirrored = torch.rand(len(images), 1, 1, 1) < 0.5
        return torch.where(mirrored, images.flip(3), images)

    params = {"train_transform": flip, "transform_batches": True}
    clf = make(**params, max_epochs=4, retrain_epochs=2, batch_size=50).fit(X, y)
    assert set(seen) == {(torch.uint8, (3, 8, 9))}
    steps = sum(clf.history_[:, "train_batch_count"])
    assert steps <= len(seen) <= 2 * steps  # removals are checked on a few images
    again = clone(clf).fit(X, y)
    np.testing.assert_array_equal(clf.predict_proba(X), again.predict_proba(X))


def test_batches_are_the_same_as_images_one_by_one():
    X = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 6)).astype(np.uint8)
    args = X, np.arange(5), torch.zeros(5), torch.ones(5), lambda x: x.flip(-1)
    rows = np.array([3, 0, 4])
    single, batched = Images(*args)[rows], Images(*args, True)[rows]
    assert torch.equal(single[0], batched[0])


@pytest.mark.parametrize("augmented", [False, True])
def test_the_teacher_sees_whole_images_as_they_are_augmented(augmented):
    X = np.random.default_rng(0).normal(size=(6, 2, 3, 4)).astype(np.float32)
    transform = (lambda image: image.flip(2)) if augmented else None
    images = Images(X, np.arange(6), torch.zeros(6), torch.ones(6), transform)
    assert images.augmented == augmented
    images.mean = torch.full((2, 1, 1), 0.5)
    images.scale = torch.full((2, 1, 1), 2.0)
    images.keep_inputs(torch.tensor([0, 2]), dim=2)
    seen = (torch.from_numpy(X) - 0.5) / 2
    if augmented:
        images.teacher = lambda X: X.flatten(1)
        seen = seen.flip(3)
    else:
        images.teacher = seen.flatten(1)
    rows = np.array([4, 1])
    ((left, (_, _, outputs)),) = images.batches([rows], taught=True)
    torch.testing.assert_close(outputs, seen[rows].flatten(1))
    torch.testing.assert_close(left, seen[rows][:, :, [0, 2]])
    assert torch.equal(images[rows][0], left)


def test_a_teacher_and_augmented_images_go_together(pictures):
    def lighten(image):
        return image.float() + 10 * torch.rand(())

    clf = make(distillation=0.5, train_transform=lighten).fit(*pictures)
    assert clf.score(*pictures) > 0.9
    assert set(clf.history_[:, "phase"]) == {"teach", "sparsify", "retrain"}


def test_the_gates_know_nothing_of_the_teacher(pictures):
    clf = make(distillation=0.5)
    data, *_ = clf._prepare(*pictures, None, 0, torch.device("cpu"))
    assert data.train.teacher is not None
    assert data.gates is data.train.gates
    assert all(value.grad is None for value in data.gates.values.values())


def test_images_are_pretrained_without_gates(pictures):
    clf = make(distillation=0.5, pretrain_epochs=2, train_transform=lambda X: X / 2)
    data, trainer, _ = clf._prepare(*pictures, None, 0, torch.device("cpu"))
    assert trainer.history[:, "phase"] == ["pretrain"] * 2
    assert data.gates is data.train.gates
    assert all(value.grad is None for value in data.gates.values.values())
    assert callable(data.train.teacher)


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


class OfRows(nn.Module):
    """Takes each row of an image for a step of time, and its columns for features."""

    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.steps = nn.GRU(input_shape[2], 8, batch_first=True)
        self.head = nn.Linear(8, n_outputs)

    def forward(self, X):
        return self.head(self.steps(X.mean(1))[0][:, -1])


class OfColumns(nn.Module):
    """Convolves along the columns of an image, with its rows for channels."""

    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.along = nn.Conv1d(input_shape[1], 8, 3)
        self.head = nn.Linear(8, n_outputs)

    def forward(self, X):
        return self.head(self.along(X[:, 1]).relu().mean(2))


class Centred(nn.Conv2d):
    """Changes its weight before, and so has no rule."""

    def forward(self, X):
        weight = self.weight - self.weight.mean()
        return nn.functional.conv2d(X, weight, self.bias)


class NoUnits(nn.Module):
    """Has no units that may go."""

    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.conv = Centred(input_shape[0], 8, 3)
        self.head = nn.Linear(8, n_outputs)

    def forward(self, X):
        return self.head(self.conv(X).relu().mean((2, 3)))


@pytest.mark.filterwarnings("ignore:.*none of the channels", "ignore:.*is given")
@pytest.mark.parametrize(
    "kinds", [None, "channel", "row", "column", "pixel", "feature"]
)
@pytest.mark.parametrize("module", [OfRows, OfColumns, NoUnits])
def test_what_a_module_reads_otherwise_is_zeroed_where_it_cannot_be_cut(
    pictures, module, kinds
):
    X, y = pictures
    clf = make(module=module, input_groups=kinds, alpha=0.5).fit(X, y)
    assert "inputs" in clf.report_.kept_whole
    support = clf.get_support()
    assert support.shape == X.shape[1:]
    assert support.any(axis=(1, 2)).all() or kinds == "feature"
    assert support.all() == (kinds == "channel")
    other = np.where(support, X, np.random.default_rng(1).integers(0, 256, X.shape))
    probabilities = clf.predict_proba(X)
    np.testing.assert_allclose(clf.predict_proba(other), probabilities, atol=1e-6)
    assert probabilities.std(axis=0).min() > 0


class Spread(nn.Module):
    """Reads the standard deviation of each map, of which one pixel has none."""

    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.conv = nn.Conv2d(input_shape[0], 8, 3, padding=1)
        self.head = nn.Linear(8, n_outputs)

    def forward(self, X):
        return self.head(self.conv(X).std((2, 3)))


def test_images_stay_as_large_as_gives_numbers(pictures):
    X, y = pictures
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clf = make(module=Spread, alpha=10.0, max_epochs=2).fit(X, y)
    assert np.isfinite(clf.predict_proba(X)).all()
    assert any("1 x 1 images, so it is given 2 x 1" in str(w.message) for w in caught)
    assert not any("degrees of freedom" in str(w.message) for w in caught)


class Blind(nn.Module):
    """Changes the number of rows."""

    def __init__(self, n_outputs):
        super().__init__()
        self.head = nn.Linear(9, n_outputs)

    def forward(self, X):
        return self.head(X).reshape(-1, 2)


class Squeezed(SmallConvNet):
    """Drops the dimension of rows where there is one."""

    def forward(self, X):
        return super().forward(X).squeeze()


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"module": None}, "Images need a network for images"),
        ({"module": Blind}, r"\(rows, outputs\)"),
        ({"module": Squeezed}, r"Got \(2,\) from 1 row; return the logits"),
        ({"input_groups": ("row", "pixels")}, "`input_groups`"),
        ({"input_groups": ("row", "feature")}, "'feature' is each number"),
        ({"input_groups": ()}, "`input_groups`"),
        ({"n_features_to_select": 3}, "needs one kind of group"),
        ({"n_features_to_select": 9, "input_groups": "row"}, "at most the 8 groups"),
        ({"n_features_to_select": 3, "input_groups": "row", "prune": "none"}, "prune"),
        ({"feature_costs": [1.0] * 3}, "`feature_costs` is for tables"),
        ({"feature_groups": [0, 0, 1]}, "`feature_groups` is for tables"),
        ({"module": "vgg16", "module__weights": {}}, "`weights`"),
        ({"patch_size": 0}, "patch_size"),
    ],
)  # fmt: skip
def test_bad_parameters_are_refused_before_training(pictures, params, says):
    clf = make(**params)
    with pytest.raises(ValueError, match=says):
        clf.fit(*pictures)
    assert not [name for name in vars(clf) if name.endswith("_")]


@pytest.mark.parametrize(
    ("transform", "got"),
    [
        (v2.ToDtype(torch.float32, scale=True), r", up to 1, for .*, up to 25\d"),
        (v2.CenterCrop(4), r"shape \(3, 4, 4\)"),
        (v2.ToPILImage(), "Image"),
    ],
)
def test_a_transform_that_changes_more_than_it_may_is_refused(pictures, transform, got):
    with pytest.raises(ValueError, match=f"`train_transform` must .* Got .*{got}"):
        make(train_transform=transform, prune="none").fit(*pictures)


@pytest.mark.parametrize("in_batches", [False, True])
def test_a_transform_is_tried_without_a_trace(pictures, in_batches):
    """Whether it is tried before training changes no random number that follows."""
    X, y = pictures

    def noisy(image):
        return image.float() + torch.rand(image.shape)

    made = {"train_transform": noisy, "transform_batches": in_batches}
    one, other = (make(max_epochs=2, retrain_epochs=1, **made) for _ in range(2))
    one.fit(X, y)
    other._check_transform = lambda X: None
    other.fit(X, y)
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))


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
    params = {"standardize": False, "distillation": 0.5, "train_transform": transform}
    one, other = (
        make(module=module, **params).fit(X, pictures[1])
        for module in (InPlace, OutOfPlace)
    )
    assert one.report_ == other.report_
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    np.testing.assert_array_equal(X, before)


def test_parameters_for_images_are_refused_for_tables():
    X, y = np.zeros((10, 4)), np.arange(10) % 2
    for params in (
        {"input_groups": "row"},
        {"train_transform": lambda x: x},
        {"transform_batches": True},
        {"num_workers": 1},
    ):
        with pytest.raises(ValueError, match="is for images"):
            JointPruneClassifier(**params).fit(X, y)


def test_bad_images_are_refused(pictures, fitted):
    X, y = pictures
    with pytest.raises(ValueError, match="has no labels, and y is None"):
        make().fit(Pictures(X))
    with pytest.raises(ValueError, match="A dataset must return images"):
        make().fit(TensorDataset(torch.zeros(4, 3), torch.zeros(4)))
    with pytest.raises(ValueError, match="Got dict at 0"):
        make().fit(Entries(X, y))
    with pytest.raises(ValueError, match="the IterableDataset Stream"):
        make().fit(Stream())
    with pytest.raises(ValueError, match=r"a list of arrays of shape .* stack them"):
        make().fit(list(X), y)
    with pytest.raises(ValueError, match=r"colours, X\[:, None\]"):
        make().fit(X[:, 0], y)
    with pytest.raises(ValueError, match="of uint8 or floats"):
        make().fit(X > 9, y)
    with pytest.raises(ValueError, match=r"as in `fit`. Got \(216,\)"):
        fitted.predict(X.reshape(300, -1))
    with pytest.raises(ValueError, match=r"as in `fit`. Got \(3, 8, 8\)"):
        fitted.predict(X[..., :8])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        make().fit(X, y[:-1])
    broken = X.astype(np.float32)
    broken[0, 0, 0, 0] = np.nan
    for given in (broken, Pictures(broken)):
        with pytest.raises(ValueError, match="NaN"):
            make().fit(given, y)
        with pytest.raises(ValueError, match="NaN"):
            fitted.predict(given)


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
    cv = JointPruneClassifierCV(**QUICK, alphas=[0.05, 0.3], cv=2)
    cv.set_params(max_epochs=12, retrain_epochs=16)
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


def test_the_price_of_a_row_is_the_root_of_its_work_relative_to_the_mean_unit():
    network = find_groups(SmallConvNet((3, 8, 9), 2), (3, 8, 9))
    conv1, conv2, head = 72 * 8 * 27, 72 * 8 * 72, 8 * 2
    assert macs_of_weights(network) == conv1 + conv2 + head
    # each unit saves what makes it and what reads it
    units = (conv1 + conv2) + (conv2 + head)
    gates = InputGates(("row", "column"), (3, 8, 9), 4, torch.device("cpu"))
    optimizer = torch.optim.Adam(network.module.parameters())
    prices = Prices(PENALTIES["group_l0"]())
    pruner = Sparsifier(network, optimizer, 32, prices, 1000, lambda: None, gates)
    for channels, size in zip(gates.channels, (8, 9), strict=True):
        expected = np.sqrt((conv1 + conv2 + head) / size / (units / 16)) / 2
        assert pruner._costs()[channels.name] == pytest.approx(expected)
    pruner.squares["rows"] += torch.arange(1, 9)
    dear = pruner._costs()["rows"]
    priced = pruner._priced()["rows"]
    torch.testing.assert_close(priced * dear, pruner.saliency(gates.channels[0]))


def test_rows_get_no_dearer_as_others_go():
    network = find_groups(SmallConvNet((3, 8, 9), 2), (3, 8, 9))
    gates = InputGates(("row", "column"), (3, 8, 9), 4, torch.device("cpu"))
    optimizer = torch.optim.Adam(network.module.parameters())
    prices = Prices(PENALTIES["group_l0"]())
    pruner = Sparsifier(network, optimizer, 32, prices, 1000, lambda: None, gates)
    of_whole_images = pruner._costs()
    gates.close("rows", torch.arange(8) < 2)
    assert pruner._costs() == of_whole_images


def test_weighted_rows_count_as_often_as_they_weigh(pictures):
    X, y = pictures
    weight = np.where(np.arange(len(X)) % 3, 1.0, 0.0)
    clf = make(max_epochs=3, retrain_epochs=2)
    some = clone(clf).fit(X[weight > 0], y[weight > 0])
    weighted = clone(clf).fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(some.support_, weighted.support_)


def test_a_gate_has_the_derivative_of_an_explicit_factor():
    gates = InputGates(("row", "column", "patch"), (2, 4, 5), 2, torch.device("cpu"))
    X = torch.randn(6, 2, 4, 5)
    weight = torch.randn(2, 4, 5)
    (gates.apply(X) * weight).sum().backward()
    product = X * weight
    torch.testing.assert_close(gates.gradient("rows"), product.sum((0, 1, 3)))
    torch.testing.assert_close(gates.gradient("columns"), product.sum((0, 1, 2)))
    patches = gates.gradient("patches").view(2, 3)
    torch.testing.assert_close(patches[1, 2], product[:, :, 2:, 4:].sum())


def test_closed_gates_let_nothing_through_and_have_no_derivative():
    gates = InputGates(("row", "column"), (2, 4, 5), 2, torch.device("cpu"))
    gates.close("rows", torch.tensor([True, False, True, True]))
    gates.close("rows", torch.tensor([False, True, True]))
    X = torch.ones(1, 2, 4, 5)
    assert gates.apply(X)[0, 0, :, 0].tolist() == [0, 0, 1, 1]
    gates.apply(X).sum().backward()
    assert gates.gradient("rows").tolist() == [10, 10]
    assert gates.support()[1, :, 2].tolist() == [False, False, True, True]


def test_gates_that_do_not_listen_let_through_the_same_at_no_cost():
    gates = InputGates(("row", "column"), (2, 4, 5), 2, torch.device("cpu"))
    X = torch.randn(3, 2, 4, 5)
    gates.listening = False
    assert gates.apply(X) is X
    gates.close("rows", torch.tensor([True, False, True, True]))
    deaf = gates.apply(X)
    assert not deaf.requires_grad
    gates.listening = True
    assert torch.equal(gates.apply(X), deaf)


def test_the_saliency_of_a_gate_is_of_the_steps_it_listened_to(monkeypatch):
    monkeypatch.setattr(_sparsify, "GATES_AT_FIRST", 6)
    network = find_groups(SmallConvNet((3, 8, 9), 2), (3, 8, 9))
    gates = InputGates(("row",), (3, 8, 9), 4, torch.device("cpu"))
    optimizer = torch.optim.SGD(network.module.parameters(), lr=0.0)
    pruner = Sparsifier(
        network,
        optimizer,
        1.0,
        Prices(PENALTIES["group_l0"]()),
        1000,
        lambda: None,
        gates,
    )
    X = torch.randn(2, 3, 8, 9)
    listened, found = [], []
    for _ in range(14):
        listened.append(gates.listening)
        network.module.zero_grad()
        network.module.eval()(gates.apply(X)).sum().backward()
        pruner.watch()
        found.append(pruner.saliency(gates.channels[0]))
    assert [step for step, did in enumerate(listened) if did] == [*range(6), 8, 12]
    # the same batch again and again: so is the mean of its squared derivatives
    for again in found:
        torch.testing.assert_close(again, found[0])
    assert (found[0] > 0).all()


@pytest.mark.parametrize("kinds", ["row", "pixel", "feature", ("channel", "row")])
def test_bar_counts_the_numbers_of_an_image_that_are_left(pictures, capsys, kinds):
    clf = make(
        input_groups=kinds, alpha=0.12, max_epochs=5, retrain_epochs=1, verbose=1
    ).fit(*pictures)
    bars = capsys.readouterr().err.replace("\r", "\n").split("retrain:", 1)
    for bar in (bars[0], bars[1]):  # the last line of each phase
        left = int(re.findall(r"inputs=(\d+)", bar)[-1])
        assert left == clf.get_support().sum() < 3 * 8 * 9
