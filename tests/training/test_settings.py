import pytest
import torch
from skorch.callbacks import Callback, EarlyStopping, EpochScoring, LRScheduler

from skjointprune._training import trainer
from skjointprune._training.settings import (
    check_monitors,
    noise_of_retraining,
    resolve_callbacks,
    resolve_epochs,
    resolve_input_noise,
    resolve_retrain_epochs,
)

WATCHED = EpochScoring("roc_auc", name="AUC", lower_is_better=False)


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"optimizer": torch.optim.LBFGS}, "one step a batch.* Got LBFGS"),
        ({"optimizer": torch.optim.SparseAdam}, "dense gradients. Got SparseAdam"),
        ({"callbacks": [3]}, "`callbacks` must hold skorch callbacks.* Got 3"),
        ({"callbacks": [("a", 3)]}, r"`callbacks` must .* Got \('a', 3\)"),
        (
            {"callbacks": [EarlyStopping()], "validation_fraction": None},
            "EarlyStopping watches 'valid_loss', and no rows are held out: ",
        ),
        ({"callbacks": [EarlyStopping("valid_f1")]}, "'valid_f1', which no epoch"),
        ({"callbacks": [EpochScoring]}, "class EpochScoring, which needs arguments"),
        (
            {"callbacks": [WATCHED, EarlyStopping("AUC")], "validation_fraction": 0},
            "EarlyStopping watches 'AUC', and no rows are held out",
        ),
        (
            {"optimizer__betas": 3},
            r"Adam cannot be made with `optimizer__betas`=3 \('int' object",
        ),
        (
            {"callbacks": [LRScheduler("NoSuchLR")]},
            "a LRScheduler that cannot be used .*NoSuchLR",
        ),
        ({"compile": "nothing"}, "`compile` must be .* Got 'nothing'; choose from"),
    ],
)
def test_what_cannot_train_is_refused_before_training(
    quick, planted, monkeypatch, params, says
):
    monkeypatch.setattr(trainer, "train", None)  # a call would be a TypeError
    with pytest.raises(ValueError, match=says):
        quick(**params).fit(*planted)


def test_a_callback_may_watch_what_needs_no_rows_held_out(quick, planted):
    class OwnScore(Callback):
        def on_epoch_end(self, net, **kwargs):
            net.history.record("valid_own", 1.0)

    params = {"validation_fraction": None, "max_epochs": 2}
    quick(callbacks=[EarlyStopping()], retrain_epochs=0, **params).fit(*planted)
    own = [OwnScore(), ("stop", EarlyStopping(monitor="valid_own", patience=2))]
    history = quick(callbacks=own, retrain_epochs=9, **params).fit(*planted).history_
    assert len(history) < 2 + 9


def test_a_class_of_callback_stands_for_an_object(quick, planted):
    ((name, made),) = resolve_callbacks([EarlyStopping])
    assert name == "callback0" and type(made) is EarlyStopping
    history = quick(callbacks=[EarlyStopping], max_epochs=9).fit(*planted).history_
    assert [row["phase"] for row in history].count("sparsify") == 9


@pytest.mark.parametrize("monitor", ["AUC", "AUC_best", "valid_acc", "train_loss"])
def test_what_an_epoch_records_may_be_watched(monitor):
    callbacks = resolve_callbacks([("score", WATCHED), EarlyStopping(monitor)])
    check_monitors(callbacks, "valid_acc", held_out=True)


@pytest.mark.parametrize(
    ("given", "n_rows", "n_columns", "noise"),
    [
        ("auto", 50, 60, 1.0),
        ("auto", 60, 60, 0.0),
        (0.5, 50, 60, 0.5),
        (0, 50, 60, 0.0),
    ],
)
def test_inputs_have_noise_by_default_where_columns_outnumber_rows(
    given, n_rows, n_columns, noise
):
    assert resolve_input_noise(given, n_rows, n_columns) == noise


def test_more_inputs_bear_more_noise_while_retraining_and_very_many_rows_less():
    noise = [noise_of_retraining(500, n) for n in (1, 25, 100, 10_000)]
    assert noise == pytest.approx([0.04, 0.2, 0.4, 0.4])
    noise = [noise_of_retraining(n, 25) for n in (20_000, 40_000, 10**9)]
    assert noise == pytest.approx([0.2, 0.1, 0.0], abs=1e-5)


def test_retraining_has_more_epochs_by_default_up_to_a_number_of_steps():
    assert resolve_retrain_epochs(7, 100, 10) == 7
    assert resolve_retrain_epochs("auto", 100, 2) == resolve_epochs("auto", 100, 2)
    assert resolve_epochs("auto", 60_000, 250) == 16
    assert resolve_retrain_epochs("auto", 60_000, 250) == 20
    assert resolve_retrain_epochs("auto", 400_000, 1600) == 5
