import numpy as np
import pytest
import torch
from _pictures import Pictures, make
from torch.utils.data import DataLoader, IterableDataset, TensorDataset
from torchvision.transforms import ToTensor, v2

from skjointprune import ImageInput


class Entries(Pictures):
    def __getitem__(self, i):
        return {"image": self.X[i], "label": self.y[i]}


class Stream(IterableDataset):
    def __iter__(self):
        return iter(())


def test_channels_that_come_last_are_told(pictures):
    X, y = pictures
    with pytest.warns(UserWarning, match=r"8 channels of 9 x 3 .*moveaxis"):
        make(prune="weights").fit(np.moveaxis(X, 1, 3), y)


@pytest.mark.parametrize(
    ("transform", "got"),
    [
        (v2.ToDtype(torch.float32, scale=True), r", up to 1 for .*, up to 25\d;"),
        (v2.CenterCrop(4), r"shape \(3, 4, 4\)"),
        (v2.ToPILImage(), "Image"),
    ],
)
def test_a_transform_that_changes_more_than_it_may_is_refused(pictures, transform, got):
    with pytest.raises(ValueError, match=f"`images__transform` must .* Got .*{got}"):
        make(images=ImageInput(transform=transform), prune="none").fit(*pictures)


def test_a_transform_that_fails_is_named(pictures):
    with pytest.raises(ValueError, match=r"`images__transform` raises TypeError \(pic"):
        make(images=ImageInput(transform=ToTensor())).fit(*pictures)
    with pytest.raises(ValueError, match=r"for torch\.uint16 of shape"):
        make(images=ImageInput(transform=ToTensor())).fit(
            pictures[0].astype("uint16"), pictures[1]
        )


def test_bad_images_are_refused(pictures, cropped):
    X, y = pictures
    with pytest.raises(ValueError, match="has no labels, and y is None"):
        make().fit(Pictures(X))
    with pytest.raises(ValueError, match="A dataset must return images"):
        make().fit(TensorDataset(torch.zeros(4, 3, 3), torch.zeros(4)))
    with pytest.raises(ValueError, match="Got dict at 0"):
        make().fit(Entries(X, y))
    with pytest.raises(ValueError, match="the IterableDataset Stream"):
        make().fit(Stream())
    for in_lists in (list(X), X.tolist()):
        with pytest.raises(ValueError, match=r"4 dimensions, of type list; make"):
            make().fit(in_lists, y)
    with pytest.raises(ValueError, match=r"colours, X\[:, None\]"):
        make().fit(X[:, 0], y)
    with pytest.raises(ValueError, match=r"5 dimensions, of type ndarray; reshape it"):
        make().fit(X[:, None], y)
    with pytest.raises(ValueError, match=r"floats\. Got an array of bool; conv"):
        make().fit(X > 9, y)
    with pytest.raises(ValueError, match=r"Got an array of shape \(300, 0, 8, 9\)"):
        make().fit(X[:, :0], y)
    with pytest.raises(ValueError, match="Pictures of length 0"):
        make().fit(Pictures(X[:0], y[:0]))
    with pytest.raises(ValueError, match="Got a DataLoader; pass its dataset"):
        make().fit(DataLoader(Pictures(X, y)))
    with pytest.raises(ValueError, match=r"as in `fit`. Got \(216,\)"):
        cropped.predict(X.reshape(300, -1))
    with pytest.raises(ValueError, match=r"as in `fit`. Got \(3, 8, 8\)"):
        cropped.predict(X[..., :8])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        make().fit(X, y[:-1])
    broken = X.astype(np.float32)
    broken[3, 0, 0, 0] = np.nan
    for given in (broken, Pictures(broken)):
        with pytest.raises(ValueError, match="NaN or infinity in image 3"):
            make().fit(given, y)
        with pytest.raises(ValueError, match="NaN or infinity in image 3"):
            cropped.predict(given)


@pytest.mark.parametrize(
    ("transform", "in_batches"),
    [(lambda X: X[:2], True), (lambda x: x if x[0, 0, 0] > 9 else x[:, 1:], False)],
)
def test_what_a_transform_returns_later_is_checked_too(pictures, transform, in_batches):
    X, y = np.array(pictures[0]), pictures[1]
    X[:, 0, 0, 0] = 10
    X[-100:, 0, 0, 0] = 0  # not the one that is tried first
    images = ImageInput(transform=transform, transform_batches=in_batches)
    clf = make(images=images)
    with pytest.raises(ValueError, match="`images__transform` must return images of"):
        clf.fit(X, y)
