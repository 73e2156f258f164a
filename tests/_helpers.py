"""What several test files know and assert."""

import hashlib
import io
import pickle
import zipfile

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback
from torch import nn

from skjointprune import JointPruneCV, load, save
from skjointprune._data.tables import Table
from skjointprune._training.batches import Batches
from skjointprune._training.net import PruningNet

RELEVANT = [1, 5, 8]  # inputs of what is planted
OF_CV = ("alphas", "n_alphas", "rule", "cv", "scoring", "n_jobs")


def cross_validated(kind, **params):
    """Make a `JointPruneCV` around an estimator, from parameters of both."""
    own = {name: params.pop(name) for name in OF_CV if name in params}
    return JointPruneCV(kind(**params), **own)


def assert_same_fit(a, b, X):
    np.testing.assert_array_equal(a.support_, b.support_)
    np.testing.assert_array_equal(a.predict_proba(X), b.predict_proba(X))


def assert_unfitted(clf):
    with pytest.raises(NotFittedError):
        check_is_fitted(clf)
    assert not hasattr(clf, "n_features_in_")
    assert not [name for name in vars(clf) if name.endswith("_")]


def assert_prox_minimises(penalty, alpha):
    """Compare the proximal step with the best point of a fine grid."""
    grid = torch.linspace(0, 4, 4001, dtype=torch.float64)
    for s in torch.linspace(0, 4, 57, dtype=torch.float64):
        objective = (grid - s) ** 2 / 2 + penalty.value(grid, alpha)
        t = penalty.prox(s[None], alpha)
        reached = (t - s) ** 2 / 2 + penalty.value(t, alpha)
        assert float(reached) <= float(objective.min()) + 1e-6
        assert bool(t == 0) == bool(s <= alpha)


def passed_through(estimator, tmp_path, **kwargs):
    save(estimator, tmp_path / "model")
    return load(tmp_path / "model", **kwargs)


def assert_same(a, b):
    """Compare what a fit leaves, types and all."""
    if isinstance(a, np.ndarray):
        np.testing.assert_array_equal(a, b)
        assert a.dtype.kind == b.dtype.kind
    elif isinstance(a, list | tuple):
        assert type(a) is type(b) and len(a) == len(b)
        for left, right in zip(a, b, strict=True):
            assert_same(left, right)
    elif isinstance(a, dict):
        assert list(a) == list(b)
        assert_same(list(a.values()), list(b.values()))
    elif type(a).__module__.startswith("skjointprune"):
        assert type(a) is type(b)
        assert_same(vars(a), vars(b))
    else:
        assert a == b and type(a) is type(b)


def assert_same_estimator(a, b, X):
    assert type(a) is type(b)
    assert vars(a).keys() == vars(b).keys()
    for name in vars(a).keys() - {"net_", "history_", "module"}:
        assert_same(getattr(a, name), getattr(b, name))
    assert repr(a.module_) == repr(b.module_)
    assert len(a.history_) == len(b.history_)
    assert a.history_[:, "train_loss"] == b.history_[:, "train_loss"]
    np.testing.assert_array_equal(a.predict(X), b.predict(X))
    assert a.predict(X).dtype.kind == b.predict(X).dtype.kind
    if hasattr(a, "predict_proba"):
        np.testing.assert_array_equal(a.predict_proba(X), b.predict_proba(X))
    assert_same(a.get_support(), b.get_support())
    assert_same(a.get_feature_names_out(), b.get_feature_names_out())
    assert b.score(X, a.predict(X)) == 1.0
    assert clone(b).get_params().keys() == a.get_params().keys()
    again = pickle.loads(pickle.dumps(b))
    np.testing.assert_array_equal(again.predict(X), b.predict(X))


def row_names(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def table(n=50, d=6):
    X = torch.randn(n, d)
    return Table(X, (X[:, 0] > 0).long(), torch.ones(n))


def small_net(batch_size, callback):
    """A net for the rows of `table`, to be trained with a callback."""
    return PruningNet(
        nn.Linear(6, 2),
        criterion=nn.CrossEntropyLoss,
        criterion__reduction="none",
        iterator_train=Batches,
        batch_size=batch_size,
        train_split=None,
        callbacks=[callback],
        verbose=0,
    ).initialize()


def with_value(value):
    def spoil(X, y):
        X = X.copy()
        X[3, 2] = value
        return X, y

    return spoil


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


def interrupt():
    raise KeyboardInterrupt


def shown(display):
    """Return the values an image shows, and where it shows none."""
    values = display.im_.get_array()
    return values.filled(0), ~np.ma.getmaskarray(values)


def zipped(members, compression=zipfile.ZIP_STORED, tail=None):
    """Return the bytes of a zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
        archive.comment = tail or b""
    return buffer.getvalue()


def with_digest(build):
    """Return the bytes of a zip with a right digest at its end."""
    mark = b"skjointprune format 0001 sha256 "
    data = build(mark + b"0" * 64)[:-64]
    return data + hashlib.sha256(data).hexdigest().encode()
