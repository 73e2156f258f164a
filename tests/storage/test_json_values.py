import json

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from skjointprune._storage.json_values import from_json, to_json
from skjointprune.modules import MLP

VALUES = [
    None,
    True,
    7,
    -1.5e-300,
    float("inf"),
    float("-inf"),
    "text é\x00😀",
    (256, 128),
    [1, [2.5, ("a", None)]],
    {"a": 1, 2: "b", (3, 4): [5]},
    {"type": "tuple", "value": [1]},
    {1, 2, 3},
    frozenset({"a", "b"}),
    np.float64(0.1),
    np.float32(0.1),
    np.int8(-3),
    np.bool_(True),
    np.str_("s"),
    np.arange(6).reshape(2, 3),
    np.array([0.1, np.inf, -0.0], dtype=np.float16),
    np.array([[True], [False]]),
    np.array(["a", "long"]),
    np.array([], dtype=np.float32),
    np.array(["a", 1, 2.5, True], dtype=object),
    torch.device("cpu"),
    torch.optim.RMSprop,
    MLP,
]


@pytest.mark.parametrize("value", VALUES)
def test_values_come_back_with_their_types(value):
    text = json.dumps(to_json(value), allow_nan=False)
    got = from_json(json.loads(text))
    assert type(got) is type(value)
    if isinstance(value, np.ndarray):
        assert got.dtype == value.dtype and got.shape == value.shape
        np.testing.assert_array_equal(got, value)
    else:
        assert got == value


def test_numbers_of_pandas_come_back_as_arrays():
    got = from_json(to_json(pd.Series([1.0, 2.0], index=["a", "b"])))
    np.testing.assert_array_equal(got, np.array([1.0, 2.0]))


@pytest.mark.parametrize(
    "value",
    [
        print,
        object(),
        1j,
        b"bytes",
        nn.ReLU,
        np.array([1j]),
        np.array([b"bytes"]),
        np.array(["2020-01-01"], dtype="datetime64[D]"),
        np.array([object()]),
        np.float64(1).astype(np.longdouble),
        torch.zeros(2),
        pd.Timestamp("2020-01-01"),
    ],
)
def test_values_of_other_types_are_refused(value):
    with pytest.raises(TypeError):
        to_json([value])
