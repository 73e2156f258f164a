import json
from collections import OrderedDict

import numpy as np
import pytest
import torch

from skjointprune._storage.packed import Packed, pack, unpack

CPU = torch.device("cpu")


def through(tree):
    """Return a tree that was packed, and written as JSON."""
    packed = pack(tree)
    return unpack(Packed(json.loads(json.dumps(packed.model)), packed.tensors), CPU)


def assert_same_tensor(a, b):
    assert a.dtype == b.dtype and a.shape == b.shape and a.stride() == b.stride()
    assert torch.equal(a, b)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(3, 4),
        torch.randn(3, 4).T,
        torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        torch.randn(2, 1, 1, 5).to(memory_format=torch.channels_last),
        torch.arange(5),
        torch.tensor(2.5),
        torch.empty(0, 3),
        torch.tensor([True, False]),
        torch.randn(4).to(torch.bfloat16),
        torch.nn.Parameter(torch.randn(3)),
    ],
)
def test_tensors_come_back_with_their_strides(tensor):
    assert_same_tensor(through([tensor])[0], tensor.detach())


def test_trees_come_back():
    tree = {
        "a": (1, [2.5, None, "x"], float("inf")),
        "b": {3: torch.ones(2), ("c", 1): {"type": "x"}},
        "d": {1, 2},
    }
    got = through(tree)
    assert torch.equal(got["b"].pop(3), tree["b"].pop(3))
    assert got == tree
    held = through(OrderedDict(first=np.arange(3.0), second=np.float32(0.1)))
    np.testing.assert_array_equal(held["first"], np.arange(3.0))
    assert held["second"] == np.float32(0.1)


def test_a_packed_tree_may_stand_in_another():
    inner = pack({"x": torch.ones(2), "y": [torch.zeros(1)]})
    got = through([torch.full((3,), 7.0), inner, (inner,)])
    assert torch.equal(got[0], torch.full((3,), 7.0))
    for held in (got[1], got[2][0]):
        assert torch.equal(held["x"], torch.ones(2))
        assert torch.equal(held["y"][0], torch.zeros(1))


def test_what_is_packed_does_not_change_with_what_it_was_made_of():
    tensor = torch.ones(2)
    packed = pack([tensor])
    first = unpack(packed, CPU)[0]
    tensor += 1
    first += 1
    assert torch.equal(unpack(packed, CPU)[0], torch.ones(2))


@pytest.mark.parametrize("strange", [object(), lambda: 1, torch.eye(2).to_sparse()])
def test_what_cannot_be_written_is_named(strange):
    with pytest.raises(TypeError, match="more than"):
        pack({"a": [strange]})
