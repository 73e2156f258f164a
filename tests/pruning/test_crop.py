import warnings

import numpy as np
import onnxruntime
import pytest
import torch
from _helpers import passed_through
from _pictures import SmallConvNet, make
from torch import nn

from skjointprune import ImageInput, InputFeatureSelector, export_onnx
from skjointprune._pruning.crop import crop_that_runs


def test_a_crop_grows_next_to_what_was_kept():
    module = nn.Conv2d(1, 1, 4)
    rows = np.array([False, True, True, False, False, False])
    columns = np.ones(5, dtype=bool)
    more, same = crop_that_runs(module, 1, rows, columns)
    assert more.tolist() == [True, True, True, True, False, False]
    assert same.all()


def test_a_crop_grows_no_more_than_is_needed():
    module = nn.Conv2d(1, 1, (9, 1))
    few = np.arange(16) // 4 == 1
    rows, columns = crop_that_runs(module, 1, few, few)
    assert rows.sum() == 9
    np.testing.assert_array_equal(columns, few)


def test_images_are_cropped_to_what_can_be_trained():
    module = nn.Sequential(
        nn.InstanceNorm2d(1, affine=True, track_running_stats=True), nn.Flatten()
    )
    one = np.arange(4) == 1
    rows, columns = crop_that_runs(module, 1, one, one)
    assert rows.sum() * columns.sum() == 2


@pytest.mark.parametrize(
    ("kind", "k", "numbers"), [("pixel", 10, 3), ("patch", 2, 3), ("feature", 20, 1)]
)
def test_what_cannot_be_cropped_is_zeroed_and_its_work_counted(
    pictures, kind, k, numbers
):
    X, y = pictures
    clf = make(
        images=ImageInput(groups=kind, patch_size=2),
        n_features_to_select=k,
        max_epochs=10,
    )
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


def assert_module_takes_what_is_retained(clf, X, tmp_path):
    """Also where the network needs more; and so does what was saved or exported."""
    small = InputFeatureSelector(clf, prefit=True).transform(X)
    assert small.shape[1:] != X.shape[1:]
    expected = clf.predict_proba(X)
    for same in (clf, passed_through(clf, tmp_path, module=clf.module)):
        with torch.no_grad():
            logits = same.module_(torch.from_numpy(small).float())
        np.testing.assert_allclose(logits.softmax(1), expected, atol=1e-6)
        np.testing.assert_array_equal(same.predict_proba(X), expected)
    export_onnx(clf, tmp_path / "it.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "it.onnx")
    (found,) = session.run(None, {"X": X.astype(np.float32)})
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_rows_that_a_flat_network_cannot_lose_are_given_and_zeroed(pictures, tmp_path):
    flat = nn.Sequential(nn.Flatten(), nn.LazyLinear(2))
    flat(torch.zeros(1, 3, 8, 9))
    with pytest.warns(UserWarning, match=r"does not run on 3 x 9 images"):
        clf = make(module=flat, images=ImageInput(groups="row"), n_features_to_select=3)
        clf.fit(*pictures)
    assert clf.get_support().any(axis=(0, 2)).sum() == 3
    assert_module_takes_what_is_retained(clf, pictures[0], tmp_path)
    other = np.where(clf.get_support(), pictures[0], 7).astype(np.uint8)
    np.testing.assert_array_equal(
        clf.predict_proba(pictures[0]), clf.predict_proba(other)
    )


def test_a_channel_that_the_network_cannot_lose_is_given_and_zeroed(pictures, tmp_path):
    X, y = pictures
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 9, 2))
    clf = make(module=flat, images=ImageInput(groups="feature"), n_features_to_select=6)
    with pytest.warns(UserWarning, match=r"given 8 x 9"):
        clf.fit(X, y)
    lost = ~clf.get_support().any(axis=(1, 2))
    assert lost.any()
    assert_module_takes_what_is_retained(clf, X, tmp_path)
    other = np.where(lost[:, None, None], 7, X).astype(X.dtype)
    np.testing.assert_array_equal(clf.predict_proba(X), clf.predict_proba(other))


def test_images_too_small_for_the_network_are_filled_up_with_a_warning(pictures):
    class Valid(SmallConvNet):
        def __init__(self, input_shape, n_outputs):
            super().__init__(input_shape, n_outputs, padding=0)

    clf = make(module=Valid, images=ImageInput(groups=("row", "column")), alpha=0.5)
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
    clf = make(module=Merging, images=ImageInput(groups="row"), n_features_to_select=4)
    with pytest.warns(UserWarning, match="given 8 x 9"):
        clf.fit(*pictures)
    assert clf.predict(pictures[0]).shape == (300,)


class Forked(SmallConvNet):
    """Has another head for small images."""

    def __init__(self, input_shape, n_outputs):
        super().__init__(input_shape, n_outputs)
        self.other = nn.Linear(8, n_outputs)

    def forward(self, X):
        found = self.pool(self.conv2(self.norm1(self.conv1(X)).relu()).relu())
        head = self.head if X.shape[2] > 5 else self.other
        return head(found.flatten(1))


def test_a_crop_leads_through_the_layers_that_were_trained(pictures):
    clf = make(module=Forked, images=ImageInput(groups="row"), n_features_to_select=4)
    with pytest.warns(
        UserWarning, match="4 x 9 images as on whole ones, so it is given 6 x 9"
    ):
        clf.fit(*pictures)
    assert clf.get_support().any(axis=(0, 2)).sum() == 4
    assert clf.score(*pictures) > 0.9


class Named(SmallConvNet):
    """Has layers with names of methods; one in training alone, one for large images."""

    def __init__(self, input_shape, n_outputs):
        super().__init__(input_shape, n_outputs)
        self.relu, self.mean = nn.ReLU(), nn.MaxPool2d(2)
        self.drop = nn.Dropout()

    def forward(self, X):
        found = self.relu(self.norm1(self.conv1(X)))
        if self.training:
            found = self.drop(found)
        found = self.conv2(self.mean(found) if X.shape[2] > 5 else found).relu()
        return self.head(self.pool(found).flatten(1))


@pytest.mark.parametrize("fraction", [None, 0.1])
def test_layers_without_weights_do_not_hold_up_a_crop(pictures, fraction):
    clf = make(module=Named, images=ImageInput(groups="row"), n_features_to_select=4)
    clf.set_params(validation_fraction=fraction, alpha=0.3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf.fit(*pictures)
    assert clf.get_support().any(axis=(0, 2)).sum() == 4
    assert "frame" not in dict(clf.module_.named_children())


class Skipping(SmallConvNet):
    """Uses a layer, with the name of a method, for large images alone."""

    def __init__(self, input_shape, n_outputs):
        super().__init__(input_shape, n_outputs)
        self.relu = nn.Conv2d(8, 8, 1)

    def forward(self, X):
        found = self.norm1(self.conv1(X)).relu()
        if X.shape[2] > 5:
            found = self.relu(found)
        return self.head(self.pool(self.conv2(found).relu()).flatten(1))


def test_a_crop_skips_no_layer_whatever_its_name(pictures):
    clf = make(module=Skipping, images=ImageInput(groups="row"), n_features_to_select=4)
    with pytest.warns(UserWarning, match="so it is given 6 x 9"):
        clf.fit(*pictures)


class OfOneSize(SmallConvNet):
    """Takes images of one size, as vision transformers do."""

    def __init__(self, input_shape, n_outputs):
        super().__init__(input_shape, n_outputs)
        self.size = input_shape[1:]

    def forward(self, X):
        torch._assert(X.shape[2] == self.size[0], "Wrong image height!")
        torch._assert(X.shape[3] == self.size[1], "Wrong image width!")
        return super().forward(X)


def test_a_network_for_one_size_gets_images_of_this_size(pictures, tmp_path):
    with pytest.warns(UserWarning, match="does not run on . x . images"):
        clf = make(module=OfOneSize).fit(*pictures)
    assert clf.module_.network[1].size == (8, 9)
    assert_module_takes_what_is_retained(clf, pictures[0], tmp_path)
    assert clf.score(*pictures) > 0.9


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
    clf = make(module=module, images=ImageInput(groups=kinds), alpha=1.0).fit(X, y)
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
    assert any(
        "1 x 1 images as on whole ones, so it is given 2 x 1" in str(w.message)
        for w in caught
    )
    assert not any("degrees of freedom" in str(w.message) for w in caught)
