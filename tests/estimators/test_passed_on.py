import pytest
from _helpers import assert_unfitted
from sklearn.base import clone
from torch import nn

from skjointprune import JointPruneClassifier


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
