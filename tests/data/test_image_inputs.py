import numpy as np
import pytest
import torch
from _kinds import CPU, IMAGES, prepared
from _pictures import Labelled, Pictures, SmallConvNet, make
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from skorch.helper import SliceDataset
from torch import nn
from torch.utils.data import TensorDataset
from torchvision.datasets import FakeData
from torchvision.transforms.functional import to_tensor

from skjointprune import ImageInput
from skjointprune._data import image_inputs

ROWS = ImageInput(groups="row")


def test_arrays_tensors_maps_and_datasets_give_the_same_fit(pictures, tmp_path):
    X, y = pictures
    clf = make(max_epochs=3, retrain_epochs=2)
    expected = clone(clf).fit(X, y)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    codes = (y == "light").astype(int)
    mirrored = X[..., ::-1].copy()
    for given, labels in (
        (X.astype(np.float64), y),
        (torch.from_numpy(X.copy()), y),
        (mapped, y),
        (torch.from_numpy(X / 1.0).bfloat16().requires_grad_(), y),
        (X.astype(">f4"), y),
        (Pictures(X), y),
        (Pictures(X, y), None),
        (Labelled([*zip(mirrored[..., ::-1], y, strict=True)]), None),
        (TensorDataset(torch.from_numpy(X.copy()), torch.from_numpy(codes)), None),
    ):
        fitted = clone(clf).fit(given, labels)
        np.testing.assert_array_equal(fitted.support_, expected.support_)
        np.testing.assert_array_equal(
            fitted.predict_proba(given), expected.predict_proba(X)
        )


def test_a_dataset_goes_through_folds_and_a_search_as_a_slice_dataset(pictures):
    X, y = (a[:120] for a in pictures)
    clf = make(max_epochs=2, retrain_epochs=1)
    of_dataset = SliceDataset(Pictures(X, y))
    scores = cross_val_score(clf, X, y, cv=2)
    same = cross_val_score(clf, of_dataset, y, cv=2, error_score="raise")
    np.testing.assert_array_equal(same, scores)
    search = GridSearchCV(clf, {"alpha": [0.1, 0.4]}, cv=2).fit(of_dataset, y)
    best = search.best_estimator_
    np.testing.assert_array_equal(best.predict(X), search.predict(of_dataset))
    with pytest.raises(ValueError, match="SliceDataset has no labels"):
        clf.fit(of_dataset)


def test_datasets_of_torchvision_work_as_they_come():
    pil = FakeData(40, image_size=(3, 8, 9), num_classes=2)
    tensors = FakeData(40, image_size=(3, 8, 9), num_classes=2, transform=to_tensor)
    for dataset in (pil, tensors):
        clf = make(max_epochs=2, retrain_epochs=1).fit(dataset)
        assert clf.classes_.tolist() == [0, 1]
        assert clf.predict(dataset).shape == (40,)


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
        ({"images": ImageInput(groups=("row", "pixels"))}, "`images__groups`"),
        ({"images": ImageInput(groups=("row", "feature"))}, "'feature' is each number"),
        ({"images": ImageInput(groups=())}, "`images__groups`"),
        ({"n_features_to_select": 3}, "needs one kind of group"),
        ({"n_features_to_select": 9, "images": ROWS}, "at most the 8 groups"),
        ({"n_features_to_select": 3, "images": ROWS, "prune": "none"}, "prune"),
        ({"feature_costs": [1.0] * 3}, "`feature_costs` is for tables"),
        ({"feature_groups": [0, 0, 1]}, "`feature_groups` is for tables"),
        ({"module": "vgg16", "module__weights": {}}, "`weights`"),
        ({"images": ImageInput(patch_size=0)}, "patch_size"),
    ],
)  # fmt: skip
def test_bad_parameters_are_refused_before_training(pictures, params, says):
    clf = make(**params)
    with pytest.raises(ValueError, match=says):
        clf.fit(*pictures)
    assert not [name for name in vars(clf) if name.endswith("_")]


@pytest.mark.parametrize("in_batches", [False, True])
def test_a_transform_is_tried_without_a_trace(pictures, in_batches, monkeypatch):
    """Whether it is tried before training changes no random number that follows."""
    X, y = pictures

    def noisy(image):
        return image.float() + torch.rand(image.shape)

    made = {"images": ImageInput(transform=noisy, transform_batches=in_batches)}
    one, other = (make(max_epochs=2, retrain_epochs=1, **made) for _ in range(2))
    one.fit(X, y)
    monkeypatch.setattr(image_inputs, "check_transform", lambda *args, **kwargs: None)
    other.fit(X, y)
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))


@pytest.mark.parametrize(
    ("groups", "size"), [("channel", 3), ("row", 6), ("column", 7), ("patch", 3 * 4)]
)
def test_one_kind_of_group_of_images_is_counted(groups, size):
    images = ImageInput(groups=groups, patch_size=2)
    inputs, *_ = IMAGES.check(images=images)
    assert inputs.count_selectable(2) == (size, "groups")


def test_several_kinds_of_groups_are_not_counted():
    inputs, *_ = IMAGES.check()
    with pytest.raises(ValueError, match="one kind of group"):
        inputs.count_selectable(2)


class Viewing(nn.Module):
    """Takes what convolutions give for channels first in memory."""

    def __init__(self, n_outputs):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.head = nn.LazyLinear(n_outputs)

    def forward(self, X):
        return self.head(self.conv(X).relu().view(len(X), -1))


def test_weights_have_channels_last_while_training_if_the_network_runs_so(pictures):
    inputs, *_ = IMAGES.check()
    layout = {"memory_format": torch.channels_last}
    convolutions = inputs.place(SmallConvNet((3, 6, 7), 2), CPU)
    assert convolutions.conv1.weight.is_contiguous(**layout)
    viewing = Viewing(2)
    viewing(torch.zeros(1, 3, 6, 7))
    viewing = inputs.place(viewing, CPU)
    assert not viewing.conv.weight.is_contiguous(**layout)
    quick = {"max_epochs": 2, "retrain_epochs": 1, "alpha": 0.01}
    make(module=Viewing, **quick).fit(*pictures)
    clf = make(**quick).fit(*pictures)
    assert all(weight.is_contiguous() for weight in clf.module_.parameters())


class Deep(nn.Module):
    """Channels as the depth of a volume: a weight of five dimensions."""

    def __init__(self, n_outputs):
        super().__init__()
        self.conv = nn.Conv3d(1, 4, 3, padding=1)
        self.head = nn.Linear(4, n_outputs)

    def forward(self, X):
        return self.head(self.conv(X[:, None]).relu().mean((2, 3, 4)))


def test_networks_whose_weights_have_more_dimensions_are_trained(pictures):
    clf = make(module=Deep, max_epochs=1, retrain_epochs=1).fit(*pictures)
    assert any(weight.ndim == 5 for weight in clf.module_.parameters())


@pytest.mark.parametrize("prune", ["weights", "none"])
def test_images_that_lose_nothing_have_no_gates(prune):
    inputs, *_ = IMAGES.check(prune=prune)
    assert inputs.gates(CPU).channels == []


def test_images_are_cropped_to_the_box_of_what_got_through():
    inputs, *_ = IMAGES.check()
    network, data = IMAGES.network(inputs), prepared(IMAGES, inputs)
    data.gates.close("image rows", torch.tensor([0, 1, 1, 1, 1, 0]).bool())
    data.gates.close("image columns", torch.tensor([1, 1, 1, 1, 1, 1, 0]).bool())
    traced = inputs.trace_back(network, torch.arange(3), data)
    expected = np.zeros((3, 6, 7), dtype=bool)
    expected[:, 1:5, :6] = True
    np.testing.assert_array_equal(traced.support, expected)
    assert network.input_shape == (3, 4, 6)
    whole, _ = prepared(IMAGES, inputs).valid[np.arange(5)]
    cropped, _ = data.valid[np.arange(5)]
    assert torch.equal(cropped, whole[:, :, 1:5, :6])
    positions = inputs.positions_read(traced.support)
    assert [p.tolist() for p in positions] == [[0, 1, 2], [1, 2, 3, 4], [*range(6)]]


def test_what_is_inside_the_box_and_not_retained_is_masked():
    inputs, *_ = IMAGES.check(images=ImageInput(groups="pixel"))
    network, data = IMAGES.network(inputs), prepared(IMAGES, inputs)
    keep = torch.ones(6 * 7, dtype=torch.bool)
    keep[[9, 30]] = False
    data.gates.close("image pixels", keep)
    traced = inputs.trace_back(network, torch.arange(3), data)
    expected = keep.numpy().reshape(6, 7)
    np.testing.assert_array_equal(traced.support, np.stack([expected] * 3))
    np.testing.assert_array_equal(traced.mask, traced.support)
    X, _ = data.train[np.arange(4)]
    assert (X[:, ~torch.from_numpy(traced.support)] == 0).all()


def test_groups_of_images_have_no_list():
    inputs, *_ = IMAGES.check()
    assert inputs.groups is None
    with pytest.raises(ValueError, match="Groups of images have no list"):
        inputs.group_support(np.ones((3, 6, 7), dtype=bool))
