import copy
import pickle
import random
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
import torch
from _helpers import RELEVANT, assert_same_fit, assert_unfitted
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback, EarlyStopping
from torch import nn

# --- callbacks and interrupts


class At(Callback):
    """Call something at the end of an epoch of the first or second phase."""

    def __init__(self, phase, epoch, action):
        self.phase = phase
        self.epoch = epoch
        self.action = action
        self.now = 0

    def on_train_begin(self, net, **kwargs):
        self.now += 1

    def on_epoch_end(self, net, **kwargs):
        if self.now == self.phase and len(net.history) == self.epoch:
            self.action()


class InBatch(At):
    """The same, in the middle of the epoch."""

    def on_batch_end(self, net, **kwargs):
        super().on_epoch_end(net)


def interrupt():
    raise KeyboardInterrupt


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


@pytest.mark.parametrize("when", [At, InBatch])
def test_interrupt_while_retraining_leaves_a_usable_fit_and_warns(quick, planted, when):
    X, y = planted
    clf = quick(n_features_to_select=3, callbacks=[when(2, 3, interrupt)])
    with pytest.warns(UserWarning, match="(?i)interrupt") as caught:
        clf.fit(X, y)
    assert {warning.filename for warning in caught} == {__file__}
    check_is_fitted(clf)
    assert clf.get_support(indices=True).tolist() == RELEVANT
    assert np.isfinite(clf.history_[:, "train_loss"]).all()
    assert 17 <= clf.n_iter_ == len(clf.history_) <= 18
    assert clf.score(X, y) > 0.8
    assert clf.report_.scores["after retraining"] is not None
    assert_same_fit(pickle.loads(pickle.dumps(clf)), clf, X)
    retained = torch.tensor(X[:, clf.support_], dtype=torch.float32)
    with torch.no_grad():
        proba = torch.softmax(clf.module_(retained), 1).numpy()
    np.testing.assert_allclose(proba, clf.predict_proba(X), atol=1e-5)


def test_error_in_a_callback_leaves_it_unfitted(quick, planted):
    for phase in (1, 2):
        clf = quick(callbacks=[At(phase, 2, lambda: 1 / 0)])
        with pytest.raises(ZeroDivisionError):
            clf.fit(*planted)
        assert_unfitted(clf)


def test_early_stopping_ends_retraining_only(quick, planted):
    stop = EarlyStopping(monitor="train_loss", patience=2, threshold=0.99)
    clf = quick(n_features_to_select=3, retrain_epochs=20, callbacks=[stop])
    clf.fit(*planted)
    phases = clf.history_[:, "phase"]
    assert phases.count("sparsify") == 15
    assert 1 <= phases.count("retrain") < 20
    assert clf.n_iter_ == len(phases)
    assert clf.score(*planted) > 0.9


class Ends(Callback):
    heard = 0

    def on_train_end(self, net, **kwargs):
        self.heard += 1


def test_callbacks_hear_the_end_of_both_phases_even_when_stopped_early(quick, planted):
    stop = EarlyStopping(monitor="train_loss", patience=2, threshold=0.99)
    for others in ([], [stop]):
        ends = Ends()
        quick(callbacks=[*others, ends]).fit(*planted)
        assert ends.heard == 2


class Spoil(At):
    def on_epoch_end(self, net, **kwargs):
        if self.now == self.phase and len(net.history) >= self.epoch:
            with torch.no_grad():
                for p in net.module_.parameters():
                    p.mul_(-1)


def test_early_stopping_can_load_the_best_weights(quick, planted):
    stop = EarlyStopping("train_loss", patience=2, threshold=0.99, load_best=True)
    good = quick(callbacks=[stop]).fit(*planted)
    spoilt = quick(callbacks=[stop, Spoil(2, 2, None)]).fit(*planted)
    assert good.score(*planted) > 0.9
    assert spoilt.score(*planted) > 0.9


def test_callbacks_may_be_named_pairs(quick, planted):
    seen = []
    pair = ("mine", At(1, 2, lambda: seen.append(1)))
    quick(callbacks=[pair], max_epochs=3, retrain_epochs=1).fit(*planted)
    assert seen == [1]


def test_fit_leaves_its_parameters_as_they_were(quick, planted):
    callbacks = [At(1, 99, interrupt)]
    clf = quick(callbacks=callbacks, max_epochs=2, retrain_epochs=2)
    before = clf.get_params()
    clf.fit(*planted)
    after = clf.get_params()
    assert before.keys() == after.keys()
    assert all(after[name] is before[name] for name in before)
    assert len(callbacks) == 1


# --- randomness


def test_same_random_state_gives_bit_identical_fits(quick, planted, joint):
    X, y = planted
    torch.manual_seed(123)
    again = quick(alpha=0.12).fit(X, y)
    assert_same_fit(again, joint, X)
    np.testing.assert_array_equal(
        again.feature_importances_, joint.feature_importances_
    )
    assert again.history_[:, "train_loss"] == joint.history_[:, "train_loss"]


def test_random_state_instances_of_one_seed_agree(quick, planted):
    X, y = planted
    a, b = (quick(random_state=np.random.RandomState(3)).fit(X, y) for _ in range(2))
    assert_same_fit(a, b, X)


def test_other_random_states_give_other_fits(quick, planted):
    X, y = planted
    fits = [
        quick(random_state=seed, max_epochs=2).fit(X, y) for seed in (0, 1, None, None)
    ]
    probas = {clf.predict_proba(X).tobytes() for clf in fits}
    assert len(probas) == 4


def global_states():
    return (
        torch.get_rng_state().tolist(),
        [str(part) for part in np.random.get_state()],  # noqa: NPY002
        random.getstate(),
        torch.get_num_threads(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(),
    )


@pytest.mark.parametrize("random_state", [0, None])
def test_global_states_are_untouched(quick, planted, random_state):
    torch.set_num_threads(2)
    before = global_states()
    clf = quick(random_state=random_state, max_epochs=1, retrain_epochs=1)
    clf.set_params(batch_size=400).fit(*planted).predict(planted[0])
    assert global_states() == before


def test_fits_in_threads_repeat_and_leave_random_states_alone(quick, planted, joint):
    X, y = planted
    before = torch.get_rng_state()
    one = (1,)  # thread of torch: a new thread of Python has several
    with ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=one) as pool:
        fits = list(pool.map(lambda _: quick(alpha=0.12).fit(X, y), range(4)))
    for clf in fits:
        assert_same_fit(clf, joint, X)
    assert torch.equal(torch.get_rng_state(), before)


def test_random_states_are_untouched_by_a_fit_that_fails(quick, planted):
    before = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError):
        quick(callbacks=[At(1, 2, lambda: 1 / 0)]).fit(*planted)
    assert torch.equal(torch.get_rng_state(), before)


# --- copies and searches


def test_pickle_keeps_predictions(joint, planted):
    assert_same_fit(pickle.loads(pickle.dumps(joint)), joint, planted[0])


def test_joblib_dump_keeps_predictions(joint, planted, tmp_path):
    joblib.dump(joint, tmp_path / "clf.joblib")
    loaded = joblib.load(tmp_path / "clf.joblib")
    assert_same_fit(loaded, joint, planted[0])
    assert repr(loaded.report_) == repr(joint.report_)
    assert loaded.history_ == joint.history_


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


def test_grid_search_in_two_processes(quick, planted):
    grid = {"alpha": [1e-4, 0.04], "module__dropout": [0.0, 0.3]}
    base = quick(max_epochs=6, retrain_epochs=3)
    search = GridSearchCV(base, grid, cv=2, n_jobs=2).fit(*planted)
    assert search.best_params_.keys() == grid.keys()
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.score(*planted) > 0.8


def test_grid_search_over_n_features_and_module(quick, planted):
    grid = {"n_features_to_select": [1, 3], "module__norm": ["batch", None]}
    search = GridSearchCV(quick(), grid, cv=2, error_score="raise").fit(*planted)
    assert search.best_params_["n_features_to_select"] == 3


def test_cross_val_score_with_callbacks(quick, planted):
    stop = EarlyStopping(monitor="train_loss", patience=2)
    clf = quick(n_features_to_select=3, callbacks=[stop])
    scores = cross_val_score(clf, *planted, cv=2, error_score="raise")
    assert (scores > 0.8).all()


def test_cross_val_score(quick, frame):
    scores = cross_val_score(
        quick(n_features_to_select=3), *frame, cv=3, error_score="raise"
    )
    assert (scores > 0.85).all()
