import numpy as np
from torch import nn

from skjointprune._crop import crop_that_runs, read_cropped, smallest_box


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


def test_cropped_images_hold_what_is_retained():
    X = np.arange(2 * 2 * 3 * 4).reshape(2, 2, 3, 4)
    support = np.zeros((2, 3, 4), dtype=bool)
    support[1, 0, 1] = support[1, 2, 3] = True
    (small,) = read_cropped(X, support, smallest_box(support))
    assert small[1].tolist() == [[[X[1, 1, 0, 1], 0], [0, X[1, 1, 2, 3]]]]
