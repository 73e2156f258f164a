import pytest
import torch
from skorch.callbacks import Callback, EarlyStopping

from skjointprune._training import trainer


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"optimizer": torch.optim.LBFGS}, "one step a batch.* Got LBFGS"),
        ({"optimizer": torch.optim.SparseAdam}, "dense gradients. Got SparseAdam"),
        ({"callbacks": [3]}, "`callbacks` must hold skorch callbacks.* Got 3"),
        ({"callbacks": [("a", 3)]}, r"`callbacks` must .* Got \('a', 3\)"),
        (
            {"callbacks": [EarlyStopping()], "validation_fraction": None},
            "EarlyStopping watches 'valid_loss', and no rows are held out. Set",
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
