import copy
from types import SimpleNamespace

import pytest
from _helpers import At, assert_same_fit, assert_unfitted, interrupt

from skjointprune._estimators.rollback import all_or_nothing


def test_interrupt_while_sparsifying_leaves_it_unfitted(quick, planted):
    clf = quick(callbacks=[At(1, 2, interrupt)])
    before = set(vars(clf))
    with pytest.raises(KeyboardInterrupt):
        clf.fit(*planted)
    assert_unfitted(clf)
    assert set(vars(clf)) == before
    assert clf.set_params(callbacks=None).fit(*planted).score(*planted) > 0.9


def test_interrupt_while_sparsifying_loses_no_earlier_fit(fitted, planted):
    X, y = planted
    clf = copy.deepcopy(fitted).set_params(callbacks=[At(1, 2, interrupt)])
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X[:, :7], y)
    assert clf.n_features_in_ == 12
    assert_same_fit(clf, fitted, X)


def test_error_in_a_callback_leaves_it_unfitted(quick, planted):
    for phase in (1, 2):
        clf = quick(callbacks=[At(phase, 2, lambda: 1 / 0)])
        with pytest.raises(ZeroDivisionError):
            clf.fit(*planted)
        assert_unfitted(clf)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_attributes_are_as_before_after_an_error(error):
    thing = SimpleNamespace(a=1, b_=2)
    with pytest.raises(error), all_or_nothing(thing):
        thing.a, thing.c_ = 5, 6
        del thing.b_
        raise error
    assert vars(thing) == {"a": 1, "b_": 2}


def test_attributes_stay_where_nothing_fails():
    thing = SimpleNamespace(a=1, b_=2)
    with all_or_nothing(thing):
        thing.c_ = 3
        del thing.b_
    assert vars(thing) == {"a": 1, "c_": 3}
