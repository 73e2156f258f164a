import numpy as np
import pytest
from _helpers import shown

from skjointprune import SupportDisplay

pytestmark = pytest.mark.usefixtures("closed_figures")


def test_image_shows_importances_of_retained_pixels_alone(fitted):
    display = SupportDisplay.from_estimator(fitted, image_shape=(3, 4))
    values, there = shown(display)
    np.testing.assert_array_equal(there, fitted.support_.reshape(3, 4))
    expected = fitted.feature_importances_.reshape(3, 4)
    np.testing.assert_allclose(values, np.where(there, expected, 0))
    assert "3 of 12 inputs retained" in display.ax_.get_xlabel()


def test_image_of_an_image_shows_what_the_network_sees(fitted):
    image = np.arange(12.0).reshape(3, 4)
    display = SupportDisplay.from_estimator(
        fitted, image_shape=(3, 4), values=image, colorbar=False
    )
    values, there = shown(display)
    np.testing.assert_array_equal(values, np.where(there, image, 0))


def test_images_are_shown_without_being_told_their_shape(of_images):
    display = SupportDisplay.from_estimator(of_images)
    assert display.support.shape == (2, 6, 7)
    _, there = shown(display)
    np.testing.assert_array_equal(there[:, :7], of_images.support_[0])
    np.testing.assert_array_equal(there[:, 8:], of_images.support_[1])
    assert "2 of 6 rows" in display.ax_.get_xlabel()
    texts = [text.get_text() for text in display.ax_.texts]
    assert texts == ["channel 0", "channel 1"]


def test_image_of_one_channel_is_shown_in_all(of_images):
    image = np.arange(42.0).reshape(6, 7)
    displays = [
        SupportDisplay.from_estimator(of_images, values=values)
        for values in (image, image[None], np.array([image, image]))
    ]
    first, *others = (shown(display)[0] for display in displays)
    assert first.any()
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_cropped_rows_columns_and_channels_are_counted():
    support = np.zeros((3, 8, 9), dtype=bool)
    support[np.ix_([0, 2], range(1, 5), range(2, 9))] = True
    ax = SupportDisplay(support).plot().ax_
    said = "in 2 of 3 channels, 4 of 8 rows, 7 of 9 columns"
    assert said in ax.get_xlabel()
    assert [t.get_text() for t in ax.texts][1] == "channel 1 (dropped)"


@pytest.mark.parametrize("n", [1, 2, 4, 5, 9])
def test_no_channel_covers_another(n):
    support = np.random.default_rng(0).random((n, 5, 6)) > 0.5
    importances = np.arange(1.0, support.size + 1).reshape(support.shape)
    values, there = shown(SupportDisplay(support, importances=importances).plot())
    assert sorted(values[there]) == sorted(importances[support])
