from inspect import signature

import pytest
from _helpers import assert_unfitted
from sklearn.base import clone
from torch import nn

from skjointprune import JointPruneClassifier, JointPruneRegressor
from skjointprune._estimators.passed_on import params_for


def test_unknown_keyword_is_a_type_error():
    with pytest.raises(TypeError, match="hidden_sizes"):
        JointPruneClassifier(hidden_sizes=(3,))
    with pytest.raises(ValueError, match="hidden_sizes"):
        JointPruneClassifier().set_params(hidden_sizes=(3,))


def test_clone_has_the_parameters_and_not_the_fit(quick, planted):
    clf = quick(module__dropout=0.5, optimizer__weight_decay=0.1).fit(*planted)
    copied = clone(clf)
    assert copied.get_params() == clf.get_params()
    assert copied.get_params()["module__dropout"] == 0.5
    assert_unfitted(copied)


def test_module_parameters_reach_the_module_after_set_params_and_clone(quick, planted):
    clf = quick(prune="inputs")  # dropout follows the share of units
    clf.set_params(module__dropout=0.37, module__activation="tanh")
    module = clone(clf).fit(*planted).module_
    assert [m.p for m in module.modules() if isinstance(m, nn.Dropout)] == [0.37]
    assert any(isinstance(m, nn.Tanh) for m in module.modules())


def test_repr_names_module_parameters(quick):
    assert "module__dropout=0.3" in repr(quick(module__dropout=0.3))


@pytest.mark.parametrize("kind", [JointPruneClassifier, JointPruneRegressor])
def test_the_signature_lists_what_the_estimator_takes_itself(kind):
    names = list(signature(kind).parameters)
    assert "kwargs" not in names
    assert sorted(names) == sorted(kind().get_params(deep=False))


def test_parameters_are_passed_on_without_their_prefix():
    clf = JointPruneClassifier(
        module__width=3, module__act="tanh", optimizer__weight_decay=0.1
    )
    assert params_for(clf, "module__") == {"act": "tanh", "width": 3}
    assert params_for(clf, "optimizer__") == {"weight_decay": 0.1}
    assert params_for(JointPruneClassifier(), "module__") == {}


def test_what_is_passed_on_is_there_only_when_it_was_given():
    clf = JointPruneClassifier()
    assert "module__width" not in clf.get_params()
    clf.set_params(module__width=3)
    assert clf.get_params()["module__width"] == clf.module__width == 3
    assert clone(clf).get_params(deep=False)["module__width"] == 3


def test_parameters_that_are_set_wrongly_change_none_that_are_passed_on():
    clf = JointPruneClassifier(module__width=3)
    with pytest.raises(ValueError, match="widht"):
        clf.set_params(widht=1, module__width=4)
    assert clf.module__width == 3
