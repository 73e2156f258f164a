import pytest
import torch
from skorch.callbacks import EarlyStopping

from skjointprune import _fitting


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
    monkeypatch.setattr(_fitting, "train", None)  # a call would be a TypeError
    with pytest.raises(ValueError, match=says):
        quick(**params).fit(*planted)
