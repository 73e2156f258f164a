import pytest
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectFromModel
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skjointprune._utils.unwrap import (
    find_estimator_with,
    find_final_estimator,
    find_inner_estimator,
)


@pytest.fixture
def tree(planted):
    return DecisionTreeClassifier(random_state=0).fit(*planted)


def test_inner_estimator_is_the_one_that_was_fitted(tree, planted):
    selector = SelectFromModel(DecisionTreeClassifier()).fit(*planted)
    assert find_inner_estimator(selector) is selector.estimator_
    assert find_inner_estimator(SelectFromModel(tree, prefit=True)) is tree
    assert find_inner_estimator(SelectFromModel(tree)) is None
    assert find_inner_estimator(tree) is None


def test_final_estimator_is_found_through_searches_and_pipelines(planted):
    search = GridSearchCV(DecisionTreeClassifier(), {"max_depth": [1, 2]}, cv=2)
    pipe = make_pipeline(StandardScaler(), search).fit(*planted)
    found = find_final_estimator(pipe)
    assert found is pipe[-1].best_estimator_
    assert find_final_estimator(found) is found


def test_final_estimator_must_be_fitted(planted):
    for estimator in (DummyClassifier(), make_pipeline(DummyClassifier())):
        with pytest.raises(NotFittedError):
            find_final_estimator(estimator)


def test_estimator_with_an_attribute_is_the_outermost(tree):
    selector = SelectFromModel(tree, prefit=True)
    assert find_estimator_with("get_support", selector) is selector
    assert find_estimator_with("tree_", selector) is tree
    with pytest.raises(ValueError, match=r"must have `coef_`. Got SelectFromModel"):
        find_estimator_with("coef_", selector)
