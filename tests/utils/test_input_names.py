import numpy as np
import pandas as pd
import pytest

from skjointprune._utils.input_names import (
    input_names,
    labels_of_columns,
    names_of_columns,
)

polars = pytest.importorskip("polars")
pyarrow = pytest.importorskip("pyarrow")


@pytest.mark.parametrize(
    ("shape", "names"),
    [((3,), ["x0", "x1", "x2"]), ((1, 2, 2), ["x0_0_0", "x0_0_1", "x0_1_0", "x0_1_1"])],
)
def test_inputs_are_numbered_by_their_position(shape, names):
    assert input_names(shape).tolist() == names


def test_names_of_a_user_are_taken_as_they_are():
    assert input_names((2,), ["a", "b c"]).tolist() == ["a", "b c"]


@pytest.mark.parametrize("kind", [pd.DataFrame, polars.DataFrame, pyarrow.table])
def test_columns_of_any_frame_have_names(kind):
    X = kind({"a": [1], "b": [2]})
    assert names_of_columns(X).tolist() == labels_of_columns(X) == ["a", "b"]


def test_labels_other_than_text_are_no_names():
    X = pd.DataFrame([[1, 2]], columns=[7, 3])
    assert names_of_columns(X) is None and labels_of_columns(X) == [7, 3]
    assert names_of_columns(np.ones((1, 2))) is labels_of_columns([[1, 2]]) is None
