import numpy as np
import pytest
from _pictures import QUICK, make
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from skjointprune import ImageInput, JointPruneClassifier, JointPruneRegressor
from skjointprune._data.image_options import resolve_kinds

GIVEN = {
    "groups": ("row", "column"),
    "patch_size": 2,
    "transform": abs,
    "transform_batches": True,
    "num_workers": 1,
}
FEW = QUICK | {"max_epochs": 2, "retrain_epochs": 1}


def test_a_clone_has_the_same_parameters_in_an_object_of_its_own():
    images = ImageInput(**GIVEN)
    copied = clone(images)
    assert copied is not images
    assert copied.get_params() == images.get_params() == GIVEN


def test_a_clone_of_an_estimator_has_images_of_its_own():
    clf = make(images=ImageInput(patch_size=2))
    copied = clone(clf)
    assert copied.images is not clf.images
    copied.set_params(images__patch_size=3)
    assert clf.images.patch_size == 2
    assert copied.get_params()["images__patch_size"] == 3


@pytest.mark.parametrize("kind", [JointPruneClassifier, JointPruneRegressor])
@pytest.mark.parametrize("given", [None, ImageInput(patch_size=7)])
def test_parameters_of_images_are_set_through_the_estimator(kind, given):
    estimator = kind(images=clone(given) if given else None)
    assert estimator.set_params(images__groups="row", alpha=0.5) is estimator
    assert estimator.images.groups == "row" and estimator.alpha == 0.5
    assert estimator.images.patch_size == (7 if given else 4)


def test_parameters_of_images_are_set_in_the_object_that_comes_with_them():
    clf = JointPruneClassifier()
    clf.set_params(images__patch_size=2, images=ImageInput(groups="patch"))
    assert clf.images.get_params() == ImageInput("patch", patch_size=2).get_params()


def test_a_parameter_that_images_do_not_have_is_refused():
    clf = JointPruneClassifier()
    with pytest.raises(ValueError, match="patchsize"):
        clf.set_params(images__patchsize=2)


@pytest.mark.parametrize("images", [None, ImageInput(patch_size=2)])
def test_groups_of_images_are_searched(pictures, images):
    X, y = (a[:80] for a in pictures)
    clf = make(**FEW, images=images, n_features_to_select=2)
    search = GridSearchCV(
        clf, {"images__groups": ["row", "column"]}, cv=2, error_score="raise"
    ).fit(X, y)
    best = search.best_estimator_
    assert best.images.groups == search.best_params_["images__groups"]
    axis = {"row": (0, 2), "column": (0, 1)}[best.images.groups]
    assert best.get_support().any(axis=axis).sum() == 2
    assert clf.images is images


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"groups": "rows"}, "'groups' parameter of ImageInput"),
        ({"groups": 3}, "'groups' parameter of ImageInput"),
        ({"groups": ("row", "rows")}, "`images__groups` must name .*'rows'"),
        ({"groups": ("row", "row")}, "`images__groups` must name"),
        ({"groups": ()}, "`images__groups` must name"),
        ({"groups": ("feature", "row")}, "Got `images__groups`="),
        ({"patch_size": 0}, "'patch_size' parameter of ImageInput .*Got 0"),
        ({"patch_size": 1.5}, "'patch_size' parameter of ImageInput"),
        ({"transform": "flip"}, "'transform' parameter of ImageInput .*Got 'flip'"),
        ({"transform_batches": 2}, "'transform_batches' parameter of ImageInput"),
        ({"num_workers": -1}, "'num_workers' parameter of ImageInput .*Got -1"),
    ],
    ids=str,
)
def test_what_is_wrong_is_named_when_images_are_fitted(pictures, params, match):
    clf = make(images=ImageInput(**params))
    with pytest.raises(ValueError, match=match):
        clf.fit(*pictures)
    assert not hasattr(clf, "support_")


def test_images_are_an_image_input(pictures):
    with pytest.raises(ValueError, match="'images' parameter"):
        make(images={"groups": "row"}).fit(*pictures)


def test_an_estimator_without_images_has_the_defaults_of_them(pictures):
    X, y = (a[:80] for a in pictures)
    fits = [make(**FEW, images=images).fit(X, y) for images in (None, ImageInput())]
    np.testing.assert_array_equal(*(clf.support_ for clf in fits))
    np.testing.assert_array_equal(*(clf.predict_proba(X) for clf in fits))


@pytest.mark.parametrize(
    ("groups", "kinds"),
    [
        (None, ("channel", "row", "column")),
        ("pixel", ("pixel",)),
        (["patch", "channel"], ("patch", "channel")),
        ("feature", ("feature",)),
    ],
)
def test_one_kind_several_or_the_usual_ones_may_go(groups, kinds):
    assert resolve_kinds(groups) == kinds


def test_a_wrong_parameter_leaves_images_as_it_was():
    clf = JointPruneClassifier()
    with pytest.raises(ValueError, match="colour"):
        clf.set_params(images__groups="row", images__colour=1)
    assert clf.images is None
    assert clf.set_params(images__groups="row", alpha=0.1).images.groups == "row"
    assert clf.alpha == 0.1
