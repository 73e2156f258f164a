import numpy as np
import pandas as pd
import pytest
import torch
from _pictures import Pictures
from skorch.helper import SliceDataset

from skjointprune._data.image_inputs import ImageInputs
from skjointprune._data.kinds import KINDS, kind_of, take
from skjointprune._data.readers import read_images
from skjointprune._data.table_inputs import TableInputs

TABLE = np.arange(20.0).reshape(10, 2)
IMAGES = np.arange(10 * 3 * 2 * 2.0).reshape(10, 3, 2, 2)
TABLES = {
    "array": TABLE,
    "list": TABLE.tolist(),
    "frame": pd.DataFrame(TABLE),
    "one dimension": TABLE[:, 0],  # which its check refuses
}
OF_IMAGES = {
    "array": IMAGES,
    "tensor": torch.from_numpy(IMAGES),
    "dataset": Pictures(IMAGES),
    "slices": SliceDataset(Pictures(IMAGES, np.arange(10))),
}
ROWS = np.array([7, 0, 3])


@pytest.mark.parametrize("X", TABLES.values(), ids=TABLES.keys())
def test_what_is_nothing_else_is_a_table(X):
    assert kind_of(X) is TableInputs


@pytest.mark.parametrize("X", OF_IMAGES.values(), ids=OF_IMAGES.keys())
def test_datasets_and_four_dimensions_are_images(X):
    assert kind_of(X) is ImageInputs


def test_the_first_kind_that_takes_X_is_it():
    assert ImageInputs.takes(IMAGES) and TableInputs.takes(IMAGES)
    assert KINDS.index(ImageInputs) < KINDS.index(TableInputs)


@pytest.mark.parametrize("name", ["array", "list", "frame"])
def test_rows_of_a_table_are_taken_in_the_order_asked_for(name):
    taken = take(TABLES[name], ROWS)
    assert type(taken) is type(TABLES[name])
    np.testing.assert_array_equal(np.asarray(taken), TABLE[ROWS])


@pytest.mark.parametrize("X", OF_IMAGES.values(), ids=OF_IMAGES.keys())
def test_images_are_taken_in_the_order_asked_for_without_a_copy(X):
    taken = take(X, ROWS)
    assert kind_of(taken) is ImageInputs
    assert taken.dataset is X
    read = read_images(taken, np.arange(3))
    np.testing.assert_array_equal(read, IMAGES[ROWS])
    again = take(taken, np.array([2]))
    np.testing.assert_array_equal(read_images(again, np.array([0])), IMAGES[[3]])
