import pickle
import random
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
import torch
from _helpers import At, assert_same_fit, interrupt
from sklearn.model_selection import GridSearchCV, cross_val_score
from skorch.callbacks import EarlyStopping


def test_fit_leaves_its_parameters_as_they_were(quick, planted):
    callbacks = [At(1, 99, interrupt)]
    clf = quick(callbacks=callbacks, max_epochs=2, retrain_epochs=2)
    before = clf.get_params()
    clf.fit(*planted)
    after = clf.get_params()
    assert before.keys() == after.keys()
    assert all(after[name] is before[name] for name in before)
    assert len(callbacks) == 1


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


def test_pickle_keeps_predictions(joint, planted):
    assert_same_fit(pickle.loads(pickle.dumps(joint)), joint, planted[0])


def test_joblib_dump_keeps_predictions(joint, planted, tmp_path):
    joblib.dump(joint, tmp_path / "clf.joblib")
    loaded = joblib.load(tmp_path / "clf.joblib")
    assert_same_fit(loaded, joint, planted[0])
    assert repr(loaded.report_) == repr(joint.report_)
    assert loaded.history_ == joint.history_


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
