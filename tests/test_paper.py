"""The table of the paper runs, and its readers read what they should."""

import importlib.util
import os
import pickle
import re
import subprocess
import sys
from collections import OrderedDict
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

ROOT = Path(__file__).parents[1]
PAPER = ROOT / "examples" / "paper"
NEEDS_CIFAR100 = {"mlp_cifar100", "vgg16_cifar100"}


def images(labels, size, channels=3):
    """Smooth images, as JPEG likes them: a grey that tells the label, and a ramp."""
    grey = np.asarray(labels)[:, None, None, None] * 20 + 10
    ramp = np.linspace(0, 40, size)[:, None] * np.ones(size)
    return np.broadcast_to(grey + ramp, (len(labels), channels, size, size)).astype(
        np.uint8
    )


def packed(X, part=""):
    """The arrays of a file of JPEGs that lie one after another."""
    files = []
    for image in X:
        file = BytesIO()
        Image.fromarray(image.transpose(1, 2, 0)).save(file, "JPEG", quality=95)
        files.append(np.frombuffer(file.getvalue(), np.uint8))
    ends = np.cumsum([0, *map(len, files)], dtype=np.int64)
    return {f"jpeg{part}": np.concatenate(files), f"offsets{part}": ends}


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory):
    """A folder with small files in the formats of MNIST, CIFAR-10 and Caltech-101."""
    folder = tmp_path_factory.mktemp("data")
    train, test = np.arange(200) % 10, np.arange(50) % 10
    np.savez(
        folder / "mnist.npz",
        x_train=images(train, 28, 1)[:, 0],
        y_train=train.astype(np.uint8),
        x_test=images(test, 28, 1)[:, 0],
        y_test=test.astype(np.uint8),
    )
    np.savez(
        folder / "cifar10_jpeg.npz",
        **packed(images(train, 32), "_train"),
        y_train=train.astype(np.uint8),
        **packed(images(test, 32), "_test"),
        y_test=test.astype(np.uint8),
    )
    y = np.repeat([2, 0, 1], [40, 31, 34]).astype(np.uint8)
    np.savez(folder / "caltech101_128_jpeg.npz", **packed(images(y, 128)), y=y)
    return folder


def from_paper(name):
    """A module that stands beside the table."""
    spec = importlib.util.spec_from_file_location(f"paper{name}", PAPER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def load():
    """The function that reads a data set."""
    return from_paper("_data").load


def cells(section, measure):
    """The whole numbers of one line of a row's table, a number for each network."""
    line = re.search(rf"^{measure}  +(.*)$", section, flags=re.MULTILINE).group(1)
    return [int(n.replace(",", "")) for n in re.findall(r"(?:^|  )([\d,]+)", line)]


def run_table(folder, *options):
    """Return what a run on few rows prints."""
    command = [sys.executable, "table.py", "--data", folder, "--repeats", "1"]
    command += ["--train-rows", "101", "--test-rows", "20"]
    command += ["--set", "max_epochs=2", "retrain_epochs=1"]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(
        [*command, *options],
        cwd=PAPER,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    sections = run.stdout.split("\n\n")[1:]
    return {section.partition(":")[0]: section for section in sections}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A folder for the pictures of the smoke budget."""
    return tmp_path_factory.mktemp("pictures")


@pytest.fixture(scope="module")
def smoke(stand_in, drawn):
    """The sections of the smoke budget, by row."""
    folder = Path(os.environ.get("SKJOINTPRUNE_DATA", stand_in)).resolve()
    return run_table(folder, "--budget", "smoke", "--pictures", drawn)


def test_smoke_budget_prints_three_networks_for_each_row_with_data(smoke):
    assert smoke.keys() == NEEDS_CIFAR100 | {
        "mlp_mnist",
        "mlp_cifar10",
        "vgg16_cifar10",
        "resnet18_caltech101",
    }
    real = os.environ.get("SKJOINTPRUNE_DATA")
    not_run = {name for name, said in smoke.items() if "\nnot run: no data" in said}
    assert not_run <= NEEDS_CIFAR100 if real else not_run == NEEDS_CIFAR100
    for name in smoke.keys() - not_run:
        assert re.search(r"\n +dense +weights only +joint\n", smoke[name])
        dense, weights, joint = cells(smoke[name], "parameters")
        assert joint < dense and weights <= dense
        inputs = cells(smoke[name], "inputs kept")
        assert inputs[0] == inputs[1] >= inputs[2]
        assert len(set(cells(smoke[name], "optimiser steps"))) == 1


def test_a_picture_is_drawn_of_what_joint_pruning_retained(smoke, drawn):
    has_images = {"vgg16_cifar10", "vgg16_cifar100", "resnet18_caltech101"}
    run = {name for name in has_images if "\nnot run" not in smoke[name]}
    pictures = {path.stem: Image.open(path) for path in drawn.glob("*.png")}
    assert pictures.keys() == run
    for picture in pictures.values():
        assert len(picture.convert("L").getcolors()) > 20


def test_networks_that_are_trained_at_a_time_are_the_same(smoke, stand_in):
    """And scratch has the size of joint, and as many steps."""
    folder = Path(os.environ.get("SKJOINTPRUNE_DATA", stand_in)).resolve()
    networks = ("none", "weights", "joint", "scratch")
    options = ("--only", "mlp_mnist", "--jobs", "2", "--prune", *networks)
    at_a_time = run_table(folder, *options)["mlp_mnist"]
    for measure in ("inputs kept", "parameters", "test accuracy", "optimiser steps"):
        one, two = (
            re.search(rf"^{measure} .*$", said, re.M).group().split()
            for said in (smoke["mlp_mnist"], at_a_time)
        )
        assert one == two[: len(one)]
        *_, joint, scratch = cells(at_a_time, measure)
        assert joint == scratch or measure == "test accuracy"


def test_each_image_of_a_batch_is_shifted_and_mirrored_on_its_own():
    augment = from_paper("_augment").CropAndFlip(1)
    X = torch.arange(1, 2 * 3 * 4 + 1, dtype=torch.uint8).view(1, 2, 3, 4)
    found = augment(X.expand(200, 2, 3, 4))
    assert found.dtype == torch.uint8
    padded = torch.nn.functional.pad(X[0], [1] * 4)
    possible = [padded[:, i : i + 3, j : j + 4] for i in range(3) for j in range(3)]
    possible += [image.flip(2) for image in possible]
    counts = [int((found == image).all((1, 2, 3)).sum()) for image in possible]
    assert sum(counts) == 200
    assert min(counts) > 0


def test_an_image_is_reflected_at_its_borders_where_that_is_asked_for():
    augment = from_paper("_augment").CropAndFlip(2, mode="reflect")
    X = torch.arange(1, 2 * 3 * 4 + 1, dtype=torch.uint8).view(1, 2, 3, 4)
    found = augment(X.expand(800, 2, 3, 4))
    assert found.dtype == torch.uint8
    padded = torch.nn.functional.pad(X.float(), [2] * 4, mode="reflect")[0].byte()
    possible = [padded[:, i : i + 3, j : j + 4] for i in range(5) for j in range(5)]
    possible += [image.flip(2) for image in possible]
    possible = torch.stack(possible).unique(dim=0, return_counts=True)
    counts = [int((found == image).all((1, 2, 3)).sum()) for image in possible[0]]
    assert sum(counts) == 800
    # some shifts look alike; each of the 50 is drawn about equally often
    for count, n_ways in zip(counts, possible[1].tolist(), strict=True):
        assert abs(count - 16 * n_ways) < 4.5 * (16 * n_ways) ** 0.5


def test_a_square_is_cut_out_of_each_image_with_its_centre_anywhere():
    augment = from_paper("_augment").CropAndFlip(0, cutout=3)
    X = torch.stack([torch.full((5, 6), 10.0), torch.full((5, 6), 20.0)])
    X = X.expand(3000, 2, 5, 6).clone()
    X[0] += 3000 * 3  # an outlier, which moves the means of its channels by 3
    cut = augment(X)
    gone = cut[1:] != X[1:]
    assert (gone[:, 0] == gone[:, 1]).all()
    torch.testing.assert_close(cut[1:, 0][gone[:, 0]].unique(), torch.tensor([13.0]))
    torch.testing.assert_close(cut[1:, 1][gone[:, 0]].unique(), torch.tensor([23.0]))
    # what a square of 3 x 3 covers with its centre at each pixel, equally often
    cover = torch.nn.functional.conv2d(
        torch.ones(1, 1, 5, 6), torch.ones(1, 1, 3, 3), padding=1
    )
    share = gone[:, 0].float().mean(0)
    torch.testing.assert_close(share, cover[0, 0] / 30, atol=0.03, rtol=0)


def test_caltech_trains_on_30_images_a_class_and_tests_on_the_others(load, stand_in):
    split = load("Caltech-101", stand_in)
    assert split.X_train.shape == (90, 3, 128, 128)
    assert split.X_train.dtype == np.uint8
    assert np.bincount(split.y_train).tolist() == [30, 30, 30]
    assert np.bincount(split.y_test).tolist() == [1, 4, 10]
    assert (split.n_train, split.n_test) == (90, 15)


def test_packed_images_come_with_their_labels(load, stand_in):
    split = load("CIFAR-10", stand_in)
    error = split.X_train.astype(int) - images(split.y_train, 32)
    assert abs(error).max() <= 4  # of 20 between two labels: JPEG loses a little


def test_cifar_without_loss_is_read_where_it_is_there(load, tmp_path, stand_in):
    (tmp_path / "cifar10_jpeg.npz").symlink_to(stand_in / "cifar10_jpeg.npz")
    y = np.arange(20) % 10
    X = images(y, 32).transpose(0, 2, 3, 1)
    np.savez(tmp_path / "cifar10.npz", x_train=X, y_train=y, x_test=X[:5], y_test=y[:5])
    split = load("CIFAR-10", tmp_path)
    np.testing.assert_array_equal(split.X_train, images(y, 32))
    assert (split.n_train, split.n_test) == (20, 5)


def test_smaller_images_are_means_of_squares(load, stand_in):
    split = load("CIFAR-10", stand_in)
    half = split.smaller(2)
    assert half.X_train.shape == (200, 3, 16, 16)
    squares = split.X_test.reshape(50, 3, 16, 2, 16, 2)
    np.testing.assert_allclose(half.X_test, squares.mean((3, 5)), atol=0.5)


def test_scratch_has_the_shape_of_a_network_and_none_of_its_weights():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (40, 3, 8, 9)).astype(np.uint8)
    support = np.zeros((3, 8, 9), dtype=bool)
    support[1:, 2:6, [0, 3, 4]] = True
    pruned = nn.Sequential(
        OrderedDict(
            inputs=nn.Identity(),
            network=nn.Sequential(
                nn.Conv2d(2, 5, 3, padding=1),
                nn.BatchNorm2d(5),
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
                nn.Linear(5, 2),
            ),
        )
    )
    new = from_paper("_scratch").scratch(pruned, support)
    box = torch.from_numpy(X[:, 1:, 2:6][..., [0, 3, 4]]).float()
    torch.testing.assert_close(new(torch.from_numpy(X).float()), new[1](box))
    for old, other in zip(pruned.parameters(), new.parameters(), strict=True):
        assert old.shape == other.shape
        assert old.ndim == 1 or not torch.equal(old, other)


def test_slice_is_stratified_and_the_same_at_every_call(load, stand_in):
    one, two = (load("CIFAR-10", stand_in, 50, 20) for _ in range(2))
    assert np.bincount(one.y_train).tolist() == [5] * 10
    assert one.X_test.shape == (20, 3, 32, 32)
    assert (one.n_train, one.n_test) == (200, 50)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)
    assert one.flat().X_train.shape == (50, 3072)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("MNIST", "no mnist.npz and no folder of torchvision's MNIST"),
        ("CIFAR-10", "no cifar10_jpeg.npz and no folder of torchvision's CIFAR10"),
        ("CIFAR-100", "no folder of torchvision's CIFAR100"),
        (
            "Caltech-101",
            "no caltech101_128_jpeg.npz and no folder of torchvision's Caltech101",
        ),
    ],
)
def test_data_that_is_not_there_is_named_and_nothing_made(load, tmp_path, name, said):
    with pytest.raises(FileNotFoundError, match=said):
        load(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_mnist_is_read_from_the_folder_of_torchvision(load, tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, n in (("train", 20), ("t10k", 10)):
        y = (np.arange(n) % 10).astype(np.uint8)
        for kind, values in (
            ("images-idx3", images(y, 28, 1)[:, 0]),
            ("labels-idx1", y),
        ):
            sizes = np.array([0x800 + values.ndim, *values.shape], ">i4")
            path = raw / f"{part}-{kind}-ubyte"
            path.write_bytes(sizes.tobytes() + values.tobytes())
    split = load("MNIST", tmp_path)
    np.testing.assert_array_equal(split.X_train, images(split.y_train, 28, 1))
    assert split.X_test.shape == (10, 1, 28, 28)


def test_caltech_is_read_from_the_folder_of_torchvision(load, tmp_path):
    classes = tmp_path / "caltech101" / "101_ObjectCategories"
    for name, n, color in (
        ("BACKGROUND_Google", 33, (0, 0, 0)),
        ("ant", 32, (200, 40, 40)),
        ("beaver", 31, (90, 90, 90)),
    ):
        (classes / name).mkdir(parents=True)
        for i in range(1, n + 1):
            picture = Image.new("RGB", (40 + i, 60), color)
            if name == "beaver":  # some have no colours
                picture = picture.convert("L")
            picture.save(classes / name / f"image_{i:04d}.jpg")
    split = load("Caltech-101", tmp_path)
    assert split.X_train.shape == (60, 3, 128, 128)
    assert np.bincount(split.y_train).tolist() == [30, 30]
    assert np.bincount(split.y_test).tolist() == [2, 1]
    for label, color in enumerate([(200, 40, 40), (90, 90, 90)]):
        found = split.X_train[split.y_train == label].mean(axis=(0, 2, 3))
        np.testing.assert_allclose(found, color, atol=3)


def test_a_folder_of_caltech_without_its_images_is_named(load, tmp_path):
    (tmp_path / "caltech101").mkdir()
    with pytest.raises(
        FileNotFoundError, match="no folder of torchvision's Caltech101"
    ):
        load("Caltech-101", tmp_path)


@pytest.mark.parametrize("classes", [10, 100])
def test_cifar_is_read_from_the_folder_of_torchvision(
    load, tmp_path, monkeypatch, classes
):
    # torchvision compares the files with the sums of the real ones
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    if classes == 10:
        base, labels, names = "cifar-10-batches-py", "labels", "label_names"
        files = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
        meta = "batches.meta"
    else:
        base, labels, names = "cifar-100-python", "fine_labels", "fine_label_names"
        files, meta = ["train", "test"], "meta"
    folder = tmp_path / base
    folder.mkdir()
    y = list(range(8))
    batch = {"data": images(y, 32).reshape(8, -1), labels: y}
    for file in files:
        (folder / file).write_bytes(pickle.dumps(batch))
    (folder / meta).write_bytes(pickle.dumps({names: [str(i) for i in y]}))
    split = load(f"CIFAR-{classes}", tmp_path)
    assert len(split.X_train) == 8 * (len(files) - 1)
    np.testing.assert_array_equal(split.X_train, images(split.y_train, 32))
    assert sorted(split.y_test) == y
