import numpy as np
import pytest
from sklearn.metrics import accuracy_score, mean_absolute_error, roc_auc_score
from skorch.callbacks import EpochScoring

from skjointprune import JointPruneRegressor

QUICK = {"max_epochs": 2, "retrain_epochs": 3}


def history(fitted, name):
    return [row[name] for row in fitted.history_]


def test_scorers_by_name_see_classes_and_probabilities(quick, planted):
    callbacks = [
        EpochScoring("accuracy", lower_is_better=False),
        EpochScoring("roc_auc", lower_is_better=False, name="auc"),
        EpochScoring("neg_log_loss", lower_is_better=False, on_train=True),
    ]
    clf = quick(callbacks=callbacks, **QUICK).fit(*planted)
    assert history(clf, "accuracy") == pytest.approx(history(clf, "valid_acc"))
    assert all(0.5 < auc <= 1 for auc in history(clf, "auc"))
    assert "auc_best" in clf.history_[-1] and clf.history_[-1]["neg_log_loss"] < 0


def test_labels_may_be_text(quick, planted):
    X, y = planted
    watch = EpochScoring("f1", lower_is_better=False)
    clf = quick(callbacks=[watch], **QUICK).fit(X, np.where(y, "yes", "no"))
    assert 0 < clf.history_[-1]["f1"] <= 1


def test_functions_score_what_a_model_predicts(quick, planted):
    def auc(model, X, y):
        return roc_auc_score(y, model.predict_proba(X)[:, 1])

    def share_right(model, X, y):
        return accuracy_score(y, model.predict(X))

    callbacks = [EpochScoring(f, lower_is_better=False) for f in (auc, share_right)]
    clf = quick(callbacks=callbacks, **QUICK).fit(*planted)
    assert history(clf, "share_right") == pytest.approx(history(clf, "valid_acc"))
    assert 0 < clf.history_[-1]["auc"] <= 1


@pytest.mark.parametrize("n_targets", [1, 2])
def test_numbers_are_scored_in_the_units_of_y(planted, n_targets):
    X, _ = planted
    y = 1000 + 100 * X[:, :n_targets] if n_targets > 1 else 1000 + 100 * X[:, 0]
    watch = EpochScoring("neg_mean_absolute_error", name="mae", on_train=True)
    reg = JointPruneRegressor(
        (16,), alpha=1e-3, callbacks=[watch], random_state=0, batch_size=32, **QUICK
    ).fit(X, y)
    off = mean_absolute_error(y, reg.predict(X))
    assert off / 3 < -reg.history_[-1]["mae"] < 3 * off


def test_nothing_is_scored_where_no_rows_are_held_out(quick, planted):
    watch = EpochScoring("accuracy", lower_is_better=False)
    clf = quick(callbacks=[watch], validation_fraction=None, **QUICK).fit(*planted)
    assert "accuracy" not in clf.history_[-1]


def test_several_labels_are_scored_as_indicators(quick):
    X = np.random.default_rng(0).normal(size=(300, 4))
    callbacks = [EpochScoring(name) for name in ("accuracy", "roc_auc")]
    clf = quick(callbacks=callbacks, max_epochs=20).fit(X, (X[:, :2] > 0).astype(int))
    assert history(clf, "accuracy") == pytest.approx(history(clf, "valid_acc"))
    assert clf.history_[-1]["roc_auc"] > 0.9
