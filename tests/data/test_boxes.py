import numpy as np

from skjointprune._data.boxes import read_cropped


def test_cropped_images_hold_what_is_retained():
    X = np.arange(2 * 2 * 3 * 4).reshape(2, 2, 3, 4)
    support = np.zeros((2, 3, 4), dtype=bool)
    support[1, 0, 1] = support[1, 2, 3] = True
    (small,) = read_cropped(X, support)
    assert small[1].tolist() == [[[X[1, 1, 0, 1], 0], [0, X[1, 1, 2, 3]]]]
