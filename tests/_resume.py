"""Fits that are interrupted again and again, and what they must be equal to."""

import os

import numpy as np

from skjointprune._training import checkpoint as checkpoints
from skjointprune._training.checkpoint import Checkpoint


class Stop(Exception):
    """Ends a fit, as no signal could more suddenly."""


def write_each_epoch(monkeypatch):
    for name in ("LOOK_AFTER", "WRITE_AFTER", "TIMES_AS_LONG"):
        monkeypatch.setattr(checkpoints, name, 0)


def stop_after(monkeypatch, n_epochs):
    """Let each call of a fit end after so many epochs, none of which is trained twice.

    The checkpoint is written after each.
    """
    write_each_epoch(monkeypatch)
    look, draw_seed = Checkpoint.look, Checkpoint.draw_seed
    seen = [0]

    def begin(self, random_state):
        seen[0] = 0
        return draw_seed(self, random_state)

    def look_and_stop(self, run):
        look(self, run)
        seen[0] += 1
        if seen[0] == n_epochs:
            raise Stop

    monkeypatch.setattr(Checkpoint, "draw_seed", begin)
    monkeypatch.setattr(Checkpoint, "look", look_and_stop)


def call_until_done(call, path):
    """Call until nothing stops it; return the result, and how often that was."""
    for n_calls in range(1, 100):
        try:
            result = call(path)
        except Stop:
            assert os.path.exists(path)
        else:
            assert os.listdir(os.path.dirname(path)) == []
            return result, n_calls
    raise AssertionError("it never ends")


def without_times(history):
    return [{k: v for k, v in row.items() if k != "dur"} for row in history]


def assert_bit_identical(a, b):
    """Compare all that two fits have found."""
    left, right = a.module_.state_dict(), b.module_.state_dict()
    assert list(left) == list(right)
    for name, tensor in left.items():
        assert tensor.shape == right[name].shape
        assert tensor.numpy().tobytes() == right[name].numpy().tobytes()
    for name in ("support_", "feature_importances_", "feature_importances_se_"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert repr(a.report_) == repr(b.report_)
    assert without_times(a.history_) == without_times(b.history_)
    assert without_times(a.net_.history) == without_times(b.net_.history)
