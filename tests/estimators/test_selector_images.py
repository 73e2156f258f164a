"""`InputFeatureSelector` on images."""

import numpy as np
import pytest
from _pictures import Pictures, make
from sklearn.pipeline import Pipeline

from skjointprune import InputFeatureSelector


def test_selector_gives_smaller_images_of_the_same_type(pictures):
    X, y = pictures
    selector = InputFeatureSelector(make(retrain_epochs=0)).fit(X, y)
    small = selector.transform(X)
    box = [selector.get_support().any(axis=a).sum() for a in ((1, 2), (0, 2), (0, 1))]
    assert small.shape == (len(X), *box)
    assert small.dtype == X.dtype
    assert selector.get_support(indices=True).size == selector.get_support().sum()


def test_selector_puts_images_back_in_place(pictures):
    X, y = pictures
    selector = InputFeatureSelector(make(retrain_epochs=0)).fit(X, y)
    back = selector.inverse_transform(selector.transform(X))
    np.testing.assert_array_equal(back, np.where(selector.get_support(), X, 0))
    assert back.dtype == X.dtype
    with pytest.raises(ValueError, match=r"Got \(3, 8, 9\); transform them first"):
        selector.inverse_transform(X)


def test_selector_of_images_names_what_it_retains(pictures):
    selector = InputFeatureSelector(make(retrain_epochs=0)).fit(*pictures)
    names = [
        f"x{channel}_{row}_{column}"
        for channel, row, column in np.argwhere(selector.get_support())
    ]
    assert selector.get_feature_names_out().tolist() == names


def test_selector_refuses_to_put_images_into_frames(pictures):
    X, y = pictures
    selector = InputFeatureSelector(make(retrain_epochs=0)).fit(X, y)
    selector.set_output(transform="pandas")
    with pytest.raises(ValueError, match=r"frame.*'pandas'.*set_output"):
        selector.transform(X)
    assert selector.set_output(transform="default").transform(X).ndim == 4


def test_selector_and_classifier_compose_in_a_pipeline(pictures):
    X, y = pictures
    pipe = Pipeline(
        [
            ("select", InputFeatureSelector(make(retrain_epochs=0))),
            ("clf", make(max_epochs=10, prune="weights")),
        ]
    )
    assert pipe.fit(X, y).score(X, y) > 0.9
    assert pipe["clf"].input_shape_ == pipe["select"].transform(X).shape[1:]


def test_prefit_selector_of_images_fits_and_checks_what_it_is_given(pictures, cropped):
    X, y = pictures
    selector = InputFeatureSelector(cropped, prefit=True)
    small = selector.transform(X)
    np.testing.assert_array_equal(selector.fit_transform(X, y), small)
    dataset = Pictures(X, y)
    np.testing.assert_array_equal(selector.fit(dataset).transform(dataset), small)
    outer = InputFeatureSelector(selector, prefit=True)
    np.testing.assert_array_equal(outer.fit_transform(X, y), small)
    with pytest.raises(ValueError, match=r"as in `fit`. Got \(3, 8, 8\)"):
        selector.fit(X[..., :8])
