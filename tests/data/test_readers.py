from multiprocessing import get_context

import numpy as np
import pytest
import torch
from _pictures import Labelled, make
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from torch.utils.data import get_worker_info

from skjointprune import ImageInput
from skjointprune._data.images import Images


def noisy(image):
    return image + 20 * torch.rand(())


@pytest.mark.parametrize("of_random", [False, True])
def test_processes_that_read_ahead_change_nothing(pictures, of_random):
    X, y = pictures
    clf = make(
        max_epochs=3,
        retrain_epochs=2,
        images=ImageInput(transform=noisy, num_workers=2),
    )
    if not of_random:
        clf.set_params(images__transform=None)
    fitted = clf.fit(X, y)
    same = clone(clf) if of_random else clone(clf).set_params(images__num_workers=0)
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
            clone(clf).set_params(images__num_workers=n),
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
    clf = make(
        max_epochs=1, retrain_epochs=1, images=ImageInput(num_workers=2), batch_size=8
    )
    with get_context("spawn").Pool(1) as pool:
        there = pool.apply(fit_and_predict, (clf, X, y))
    np.testing.assert_allclose(there, fit_and_predict(clf, X, y), rtol=1e-5)


class Broken(Labelled):
    def __getitem__(self, i):
        if i == 5 and (get_worker_info() is not None) == self.in_workers:
            raise OSError("truncated file")
        return super().__getitem__(i)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_image_that_cannot_be_read_says_so(num_workers):
    broken = Broken([(torch.zeros(3, 8, 9), i % 2) for i in range(40)])
    broken.in_workers = num_workers > 0  # so that it is met while training
    clf = make(images=ImageInput(num_workers=num_workers), batch_size=8)
    says = "DataLoader worker process(.|\n)*truncated" if num_workers else "^truncated"
    with pytest.raises(OSError, match=says):
        clf.fit(broken, np.arange(40) % 2)
    assert not hasattr(clf, "support_")


def test_a_dataset_of_several_sizes_is_refused():
    dataset = Labelled([(torch.zeros(1, 6 + i % 2, 6), i % 3) for i in range(30)])
    with pytest.raises(
        ValueError, match=r"one size. Got \[\(1, 6, 6\), \(1, 7, 6\)\]; resize"
    ):
        make().fit(dataset)
