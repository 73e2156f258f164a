import re

import numpy as np
import pytest
import torch
from _pictures import make
from sklearn.base import clone
from torch.utils.data import Subset, TensorDataset

from skjointprune import ImageInput
from skjointprune._data import images as images_module
from skjointprune._data import readers
from skjointprune._data.images import Images, put_on_gpu
from skjointprune._data.readers import read_images
from skjointprune._estimators.pose import pose
from skjointprune._training import progress


def test_no_more_than_a_batch_of_images_is_read_at_once(pictures, monkeypatch):
    X, y = (np.concatenate([a] * 4) for a in pictures)
    read = []

    def watched(source, rows):
        read.append(len(rows))
        return read_images(source, rows)

    monkeypatch.setattr(readers, "read_images", watched)
    make(max_epochs=1, retrain_epochs=1).fit(X, y).predict(X)
    assert sum(read) > 3 * len(X)
    assert max(read) <= 512


def some_images(source, **params):
    args = np.arange(1, 6), torch.zeros(5), torch.ones(5)
    return Images(source, *args, **params)


@pytest.mark.parametrize(
    ("source", "params", "free", "is_copied"),
    [
        (np.zeros((9, 3, 4, 4), np.uint8), {}, 2 * 5 * 48, True),
        (np.zeros((9, 3, 4, 4), np.uint8), {}, 2 * 5 * 48 - 1, False),
        (np.zeros((9, 3, 4, 4), np.float32), {}, 2 * 4 * 5 * 48, True),
        (np.zeros((9, 3, 4, 4), np.float32), {}, 2 * 5 * 48, False),
        (np.zeros((9, 3, 4, 4), np.uint16), {}, 2**30, False),
        (torch.zeros(9, 3, 4, 4), {}, 2**30, True),
        (Subset(torch.zeros(9, 3, 4, 4), range(8)), {}, 2**30, True),
        (TensorDataset(torch.zeros(9, 3, 4, 4)), {}, 2**30, False),
        (torch.zeros(9, 3, 4, 4), {"num_workers": 1}, 2**30, False),
        (torch.zeros(9, 3, 4, 4), {"transform": torch.clone}, 2**30, False),
        (
            torch.zeros(9, 3, 4, 4),
            {"transform": torch.clone, "transform_batches": True},
            2**30,
            True,
        ),
    ],
)
def test_arrays_that_fit_in_half_of_what_is_free_are_copied_to_a_device(
    source, params, free, is_copied, monkeypatch
):
    monkeypatch.setattr(images_module, "free_memory", lambda device: free)
    images = some_images(source, **params)
    put_on_gpu([images], torch.device("cpu"))
    assert (images.on_device is not None) == is_copied
    if is_copied:
        assert images.on_device.dtype == images.reader[:1].dtype


def test_nothing_is_copied_to_a_device_that_is_a_cpu():
    images = some_images(np.zeros((9, 3, 4, 4), np.uint8))
    put_on_gpu([images], torch.device("cpu"))
    assert images.on_device is None


@pytest.mark.parametrize("at", [slice(1, 4), np.array([4, 0])])
def test_images_on_a_device_are_those_that_are_read_and_may_be_changed(at):
    X = np.random.default_rng(0).normal(size=(9, 3, 4, 4)).astype(np.float32)
    read, copied = some_images(X), some_images(X)
    copied.put_on_device()
    copied[at][0].zero_()
    for images in (read, copied):
        images.keep_inputs(torch.tensor([2, 0]))
    ((batch, _),) = copied.batches([at])
    assert torch.equal(batch, read[at][0])
    assert torch.equal(copied[at][0], read[at][0])


def test_images_on_a_device_give_the_same_network_and_are_read_once(
    pictures, monkeypatch
):
    def mirror(X):
        return torch.where(torch.rand(len(X), 1, 1, 1) < 0.5, X.flip(3), X)

    params = {
        "images": ImageInput(transform=mirror, transform_batches=True),
        "distillation": 0.5,
        "max_epochs": 4,
        "retrain_epochs": 2,
    }
    X, y = pictures
    before = make(**params).fit(X, y)
    monkeypatch.setattr(images_module, "free_memory", lambda device: 2**40)
    n_read = []

    def watched(source, rows):
        n_read.append(len(rows))
        return read_images(source, rows)

    monkeypatch.setattr(readers, "read_images", watched)
    after = make(**params).fit(X, y)
    assert sum(n_read) < 3 * len(X)  # with the statistics of channels
    np.testing.assert_array_equal(before.predict_proba(X), after.predict_proba(X))
    np.testing.assert_array_equal(before.support_, after.support_)


def test_augmented_images_train_but_do_not_score(pictures):
    X, y = pictures
    shapes = set()

    def flip(image):
        shapes.add((image.dtype, tuple(image.shape)))
        return image.flip(2) if torch.rand(()) < 0.5 else image

    clf = make(images=ImageInput(transform=flip), max_epochs=4, retrain_epochs=2).fit(
        X, y
    )
    assert shapes == {(torch.uint8, (3, 8, 9))}
    again = make(images=ImageInput(transform=flip), max_epochs=4, retrain_epochs=2).fit(
        X, y
    )
    np.testing.assert_array_equal(clf.predict_proba(X), again.predict_proba(X))


def test_a_batch_is_augmented_at_once_where_that_is_asked_for(pictures):
    X, y = pictures
    seen = []

    def flip(images):
        seen.append((images.dtype, tuple(images.shape[1:])))
        mirrored = torch.rand(len(images), 1, 1, 1) < 0.5
        return torch.where(mirrored, images.flip(3), images)

    params = {"images": ImageInput(transform=flip, transform_batches=True)}
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
    images.standardise(torch.full((2, 1, 1), 0.5), torch.full((2, 1, 1), 2.0))
    images.crop(torch.tensor([0, 2]), torch.arange(4), mask=None)
    seen = (torch.from_numpy(X) - 0.5) / 2
    if augmented:
        seen = seen.flip(3)
    images.learn_from(lambda X: X.flatten(1))
    rows = np.array([4, 1])
    ((left, (_, _, outputs)),) = images.batches([rows], with_teacher=True)
    torch.testing.assert_close(outputs, seen[rows].flatten(1))
    torch.testing.assert_close(left, seen[rows][:, :, [0, 2]])
    assert torch.equal(images[rows][0], left)


def test_a_teacher_and_augmented_images_go_together(pictures):
    def lighten(image):
        return image.float() + 10 * torch.rand(())

    clf = make(distillation=0.5, images=ImageInput(transform=lighten)).fit(*pictures)
    assert clf.score(*pictures) > 0.9
    assert set(clf.history_[:, "phase"]) == {"teach", "sparsify", "retrain"}


def test_the_gates_know_nothing_of_the_teacher(pictures):
    clf = make(distillation=0.5)
    problem = pose(clf, *pictures, None, 0, torch.device("cpu"))
    problem.start()
    data = problem.data
    assert data.train.teacher is not None
    assert data.gates is data.train.gates
    assert all(value.grad is None for value in data.gates.values.values())


def test_images_are_pretrained_without_gates(pictures):
    clf = make(
        distillation=0.5,
        pretrain_epochs=2,
        images=ImageInput(transform=lambda X: X / 2),
    )
    problem = pose(clf, *pictures, None, 0, torch.device("cpu"))
    data = problem.data
    assert problem.start().history[:, "phase"] == ["pretrain"] * 2
    assert data.gates is data.train.gates
    assert all(value.grad is None for value in data.gates.values.values())
    assert callable(data.train.teacher)


@pytest.mark.parametrize("kinds", ["row", "pixel", "feature", ("channel", "row")])
def test_line_counts_the_numbers_of_an_image_that_are_left(
    pictures, capsys, monkeypatch, kinds
):
    monkeypatch.setattr(progress, "SILENT", 0.0)
    monkeypatch.setattr(progress, "REPEATED", 0.0)
    clf = make(
        images=ImageInput(groups=kinds),
        alpha=0.12,
        max_epochs=5,
        retrain_epochs=1,
        verbose=1,
    ).fit(*pictures)
    lines = capsys.readouterr().err
    for phase in ("removing", "retraining"):  # the last line of each
        left, n = re.findall(rf"{phase}.*, (\d+) of (\d+) inputs left", lines)[-1]
        assert int(left) == clf.get_support().sum() < int(n) == 3 * 8 * 9


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_no_image_of_a_dataset_may_hold_what_is_no_number(pictures, standardize, value):
    X, y = pictures
    for at in (0, 1, 2, 3):  # held out or not
        wrong = np.asarray(X, dtype=np.float32).copy()
        wrong[at] = value
        rows = TensorDataset(torch.from_numpy(wrong), torch.from_numpy(y == y[0]))
        clf = make(standardize=standardize, validation_fraction=0.5, max_epochs=1)
        with pytest.raises(ValueError, match=f"Got NaN or infinity in image {at};"):
            clf.fit(rows)


def test_units_of_images_do_not_matter(pictures):
    X, y = pictures
    fits = [make(max_epochs=2).fit(X * np.float32(s), y) for s in (1, 2.0**-66)]
    expected, found = (
        fit.predict_proba(X * np.float32(s))
        for fit, s in zip(fits, (1, 2.0**-66), strict=True)
    )
    np.testing.assert_allclose(found, expected, atol=1e-4)
