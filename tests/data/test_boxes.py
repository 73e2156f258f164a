import numpy as np
import pytest
import torch

from skjointprune._data.boxes import frame_of, read_cropped, smallest_box


def test_cropped_images_hold_what_is_retained():
    X = np.arange(2 * 2 * 3 * 4).reshape(2, 2, 3, 4)
    support = np.zeros((2, 3, 4), dtype=bool)
    support[1, 0, 1] = support[1, 2, 3] = True
    (small,) = read_cropped(X, support)
    assert small[1].tolist() == [[[X[1, 1, 0, 1], 0], [0, X[1, 1, 2, 3]]]]


def support(channels, rows, columns, shape=(3, 5, 6)):
    mask = np.zeros(shape, dtype=bool)
    mask[np.ix_(channels, rows, columns)] = True
    return mask


def test_the_smallest_box_holds_all_that_is_retained():
    mask = support([2], [1, 3], [0, 4])
    box = smallest_box(mask)
    assert [positions.tolist() for positions in box] == [[2], [1, 3], [0, 4]]
    mask[0, 2, 5] = True
    assert [len(positions) for positions in smallest_box(mask)] == [2, 3, 3]


def test_a_box_that_is_what_the_network_needs_has_no_frame():
    box = smallest_box(support([0, 2], [1, 2], [3]))
    assert frame_of(box, box) is None


def test_a_frame_makes_cropped_images_as_large_as_the_network_needs():
    needed = smallest_box(support([0, 1], [1, 2, 3], [0, 1, 2, 5]))
    mask = support([1], [1, 3], [2, 5])
    X = np.random.default_rng(0).normal(size=(4, 3, 5, 6))
    (cropped,) = read_cropped(X, mask)
    framed = frame_of(needed, smallest_box(mask))(cropped)
    assert framed.shape == (4, 2, 3, 4)
    inside = torch.from_numpy(mask[np.ix_(*needed)])
    whole = torch.from_numpy(X)[:, needed[0]][:, :, needed[1]][..., needed[2]]
    torch.testing.assert_close(framed * inside, whole * inside)


def test_images_that_are_not_finite_are_refused():
    X = np.full((2, 3, 5, 6), np.inf)
    with pytest.raises(ValueError, match="NaN or infinity"):
        list(read_cropped(X, support([0], [0], [0])))
