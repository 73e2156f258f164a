import re

import numpy as np
import pytest
import torch
from _pictures import SmallConvNet, make
from sklearn.base import clone

from skjointprune._data import readers
from skjointprune._data.images import Images
from skjointprune._data.readers import read_images
from skjointprune._graph.costs import macs_of_weights
from skjointprune._graph.groups import find_groups
from skjointprune._pruning import sparsifier
from skjointprune._pruning.gates import InputGates
from skjointprune._pruning.sparsifier import Prices, Sparsifier
from skjointprune.penalties import PENALTIES


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


def test_augmented_images_train_but_do_not_score(pictures):
    X, y = pictures
    shapes = set()

    def flip(image):
        shapes.add((image.dtype, tuple(image.shape)))
        return image.flip(2) if torch.rand(()) < 0.5 else image

    clf = make(images=ImageInput(transform=flip), max_epochs=4, retrain_epochs=2).fit(X, y)
    assert shapes == {(torch.uint8, (3, 8, 9))}
    again = make(images=ImageInput(transform=flip), max_epochs=4, retrain_epochs=2).fit(X, y)
    np.testing.assert_array_equal(clf.predict_proba(X), again.predict_proba(X))


def test_a_batch_is_augmented_at_once_where_that_is_asked_for(pictures):
    X, y = pictures
    seen = []

    def flip(images):
        seen.append((images.dtype, tuple(images.shape[1:])))
        mirrored = torch.rand(len(images), 1, 1, 1) < 0.5
        return torch.where(mirrored, images.flip(3), images)

    params = {"images": ImageInput(transform=flip), "images": ImageInput(transform_batches=True)}
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

    clf = make(distillation=0.5, images=ImageInput(transform=lighten)).fit(*pictures)
    assert clf.score(*pictures) > 0.9
    assert set(clf.history_[:, "phase"]) == {"teach", "sparsify", "retrain"}


def test_the_gates_know_nothing_of_the_teacher(pictures):
    clf = make(distillation=0.5)
    data, *_ = clf._prepare(*pictures, None, 0, torch.device("cpu"))
    assert data.train.teacher is not None
    assert data.gates is data.train.gates
    assert all(value.grad is None for value in data.gates.values.values())


def test_images_are_pretrained_without_gates(pictures):
    clf = make(distillation=0.5, pretrain_epochs=2, images=ImageInput(transform=lambda X: X / 2))
    data, trainer, _ = clf._prepare(*pictures, None, 0, torch.device("cpu"))
    assert trainer.history[:, "phase"] == ["pretrain"] * 2
    assert data.gates is data.train.gates
    assert all(value.grad is None for value in data.gates.values.values())
    assert callable(data.train.teacher)


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
    monkeypatch.setattr(sparsifier, "GATES_AT_FIRST", 6)
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
        images=ImageInput(groups=kinds), alpha=0.12, max_epochs=5, retrain_epochs=1, verbose=1
    ).fit(*pictures)
    bars = capsys.readouterr().err.replace("\r", "\n").split("retrain:", 1)
    for bar in (bars[0], bars[1]):  # the last line of each phase
        left = int(re.findall(r"inputs=(\d+)", bar)[-1])
        assert left == clf.get_support().sum() < 3 * 8 * 9
