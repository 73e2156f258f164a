import functools
import random
import re
import subprocess
import sys
import threading
from collections import deque
from enum import Enum

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_matrix
from sklearn.preprocessing import StandardScaler
from torch import nn

from skjointprune._storage.digest import digest
from skjointprune.penalties import GroupL0, GroupLasso

X = np.arange(12.0).reshape(4, 3)


def changed(array, value=99.0):
    new = array.copy()
    new.flat[5] = value
    return new


def adder(n):
    return lambda x: x + n


def net(width, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, width), nn.Dropout(width / 10))


class Cell:
    def __init__(self, value):
        self.value = value
        self.fitted_ = object()


class Slots:
    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


class Color(Enum):
    RED = 1
    BLUE = 2


SURVIVAL = [("event", bool), ("time", float)]


@pytest.mark.parametrize(
    ("value", "same", "other"),
    [
        (X, X.copy(), changed(X)),
        (X, np.asfortranarray(X), X.astype("float32")),
        (X, X[:], X.reshape(3, 4)),
        (torch.tensor(X), torch.tensor(X.T.copy()).T, torch.tensor(X.T.copy())),
        (csr_matrix(X), csr_matrix(X), csr_matrix(changed(X))),
        (np.array(["a", "b"]), np.array(["a", "b"]), np.array(["a", "c"])),
        (
            np.array([(True, 1.0)], SURVIVAL),
            np.array([(True, 1.0)], SURVIVAL),
            np.array([(False, 1.0)], SURVIVAL),
        ),
        ([1, 2.0], [1, 2.0], [1, 2]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 2, "b": 1}),
        (None, None, 0),
        (adder(1), adder(1), adder(2)),
        (lambda x: x + 1, lambda x: x + 1, lambda x: x + 2),
        (functools.partial(pow, 2), functools.partial(pow, 2), functools.partial(pow)),
        (net(4), net(4), net(5)),
        (net(4), net(4), net(4, seed=1)),
        (nn.Linear, nn.Linear, nn.Bilinear),
        (GroupL0(), GroupL0(), GroupLasso()),
        (Cell(1), Cell(1), Cell(2)),
        (StandardScaler(), StandardScaler(), StandardScaler(with_mean=False)),
        (pd.Series([1, 2]), pd.Series([1, 2]), pd.Series([1, 3])),
        (
            np.array([(1, 2), "a"], object),
            np.array([(1, 2), "a"], object),
            np.array([(1, 3), "a"], object),
        ),
        (Slots(1), Slots(1), Slots(2)),
        (Color.RED, Color.RED, Color.BLUE),
        (torch.float32, torch.float32, torch.float64),
        (deque([1]), deque([1]), deque([2])),
        (re.compile("a"), re.compile("a"), re.compile("b")),
        (np.random.rand, np.random.rand, random.random),
    ],
)
def test_a_digest_is_that_of_the_same_value_alone(value, same, other):
    assert digest(value) == digest(same)
    assert digest(value) != digest(other)


@pytest.mark.parametrize(
    "make", [np.random.default_rng, random.Random, torch.Generator]
)
def test_a_generator_of_its_own_is_refused(make):
    generator = make()
    with pytest.raises(TypeError, match="draw from torch, numpy"):
        digest(functools.partial(print, rng=generator))


def test_what_cannot_be_seen_is_refused():
    with pytest.raises(TypeError, match="pickle"):
        digest([threading.Lock()])


def test_what_holds_itself_has_a_digest():
    cell = Cell(None)
    cell.value = [cell]
    assert len(digest(cell)) == 64


def test_a_digest_is_the_same_in_another_process():
    call = "[{'a', 'b', 'c'}, dict, 'x', 1.5, print]"
    code = f"from skjointprune._storage.digest import digest; print(digest({call}))"
    made = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        # in which sets have another order
        env={"PYTHONHASHSEED": "1", "PYTHONPATH": ":".join(sys.path)},
    )
    assert made.stdout.strip() == digest(eval(call))


def test_a_map_of_a_file_has_the_digest_of_its_array(tmp_path):
    np.save(tmp_path / "X.npy", X)
    assert digest(np.load(tmp_path / "X.npy", mmap_mode="r")) == digest(X)
