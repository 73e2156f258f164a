import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from skjointprune._data.sources import LevelCodes
from skjointprune._data.torch_source import TorchSource, is_dataset_of_rows


class Items(Dataset):
    def __init__(self, *items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


def test_rows_and_batches_of_rows_are_told_from_images():
    row, batch = torch.zeros(3), torch.zeros(4, 3)
    for item in ((row, 0), (row, 0, 1.0), row, (batch, torch.zeros(4)), (row, row)):
        assert is_dataset_of_rows(Items(item))
    image = torch.zeros(1, 4, 3)
    for item in ((image, 0), image, (batch, 0), batch, {"image": image}, ("a", 0)):
        assert not is_dataset_of_rows(Items(item))
    assert not is_dataset_of_rows(Items())
    assert not is_dataset_of_rows([(row, 0)])


@pytest.mark.parametrize("kind", ["float32", "float64", "uint8"])
def test_rows_are_floats_with_their_weights(kind):
    X = np.arange(12).reshape(4, 3).astype(kind)
    items = [(x, np.float32(i), i) for i, x in enumerate(X)]
    (block,) = TorchSource(Items(*items), None, None).blocks(0, [2, 0], LevelCodes({}))
    np.testing.assert_array_equal(block.X, X[:, [2, 0]])
    assert block.X.dtype == ("float64" if kind == "float64" else "float32")
    assert block.y.ravel().tolist() == block.weight.tolist() == [0, 1, 2, 3]


def test_several_targets_a_row_keep_their_shape():
    source = TorchSource(TensorDataset(torch.zeros(4, 3), torch.ones(4, 2)), None, None)
    assert source.shape_of_y == (2,)
    batches = Items((torch.zeros(4, 3), torch.ones(4, 2)))
    assert TorchSource(batches, None, None).shape_of_y == (2,)


def test_items_that_differ_are_named():
    rows = [(torch.zeros(3), 0), (torch.zeros(2), 1)]
    with pytest.raises(ValueError, match=r"as many parts .*\(2, 2\), \(2, 3\)"):
        TorchSource(rows, None, None).whole()


def test_rows_that_come_once_are_refused():
    class Once(IterableDataset):
        def __init__(self):
            self.rows = iter([(torch.zeros(3), 0)])  # which the first look takes

        def __iter__(self):
            return self.rows

    for ask in (lambda s: s.lengths, lambda s: s.whole()):
        with pytest.raises(ValueError, match="each time that it is gone through"):
            ask(TorchSource(Once(), None, None))


def test_what_is_no_row_is_refused():
    for item in (torch.zeros(2), torch.zeros(3, dtype=torch.complex64)):
        source = TorchSource(Items((item, 0)), None, None)
        source.n_columns = 3
        with pytest.raises(ValueError, match="must return rows of 3 numbers"):
            list(source.rows())
