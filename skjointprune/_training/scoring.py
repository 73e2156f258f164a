"""`EpochScoring` of skorch, for rows with weights and encoded targets."""

from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import check_scoring
from skorch.callbacks import EpochScoring
from torch import Tensor

from .._data.prepare import Scaling
from .tasks import Task

# of `EpochScoring`
PARAMETERS = (
    "scoring",
    "lower_is_better",
    "on_train",
    "name",
    "target_extractor",
    "use_caching",
)


class RowScoring(EpochScoring):
    """Score the outputs of an epoch by any scorer of scikit-learn.

    It takes the place of `EpochScoring`, which expects targets without weights, and a
    net that is a classifier. Targets are the codes of classes, 0, 1, …, or numbers in
    the units of y.

    Parameters
    ----------
    task : Task
    scaling : Scaling or None
        Of the targets.
    **params
        Of `EpochScoring`.
    """

    def __init__(self, task: Task, scaling: Scaling | None, **params: Any):
        super().__init__(**params)
        self.task, self.scaling = task, scaling

    @classmethod
    def like(
        cls, callback: EpochScoring, task: Task, scaling: Scaling | None
    ) -> "RowScoring":
        """Return one with the parameters of skorch's own."""
        params = {name: getattr(callback, name) for name in PARAMETERS}
        return cls(task, scaling, **params)

    def state_dict(self):
        """Return the best score so far; an epoch that has ended needs no more."""
        return {"best": self.best_score_}

    def load_state_dict(self, state):
        """Know the best score of an earlier part of the training."""
        self.best_score_ = state["best"]

    def on_batch_end(self, net, batch, y_pred, training, **kwargs):
        """Keep outputs and targets of a batch."""
        if training == self.on_train:
            _, (y, *_) = batch
            self.y_trues_.append(y)
            self.y_preds_.append(y_pred)

    def on_epoch_end(self, net, **kwargs):
        """Score what was kept; nothing was where no rows are held out."""
        if not self.y_preds_:
            return
        outputs = torch.cat(self.y_preds_).detach().float().cpu()
        y = torch.cat(self.y_trues_).cpu()
        if self.task.takes_logits:
            kind: type[_Predicted] = (
                _PredictedLabels if y.ndim > 1 else _PredictedClasses
            )
        else:
            kind = _PredictedNumbers
            outputs, y = (self._in_units_of_y(t) for t in (outputs, y))
        predicted = kind(self.task.read(outputs).numpy())
        score = check_scoring(predicted, self.scoring_)
        known = y.numpy()
        known = known[:, 0] if known.ndim == 2 and known.shape[1] == 1 else known
        rows = np.zeros((len(known), 1))
        self._record_score(net.history, score(predicted, rows, known))

    def _in_units_of_y(self, values: Tensor) -> Tensor:
        if self.scaling is None:
            return values
        return values * self.scaling.scale.cpu() + self.scaling.mean.cpu()


class _Predicted(BaseEstimator):
    """Predictions of some rows, as a fitted estimator that returns them."""

    def __init__(self, outputs: np.ndarray):
        self.outputs = outputs

    def fit(self, X, y):
        return self

    def __sklearn_is_fitted__(self):
        return True


class _PredictedClasses(ClassifierMixin, _Predicted):
    @property
    def classes_(self):
        return np.arange(self.outputs.shape[1])

    def predict_proba(self, X):
        return self.outputs

    def predict(self, X):
        return self.outputs.argmax(axis=1)


class _PredictedLabels(_PredictedClasses):
    @property
    def classes_(self):
        return [np.array([0, 1]) for _ in range(self.outputs.shape[1])]

    def predict(self, X):
        return (self.outputs > 0.5).astype(int)


class _PredictedNumbers(RegressorMixin, _Predicted):
    def predict(self, X):
        return self.outputs[:, 0] if self.outputs.shape[1] == 1 else self.outputs
