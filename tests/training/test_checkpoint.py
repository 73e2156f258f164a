import os
import random
import signal
import threading
from contextlib import suppress

import numpy as np
import pytest
import torch
from _pictures import Pictures, make
from _resume import Stop, assert_bit_identical, stop_after, write_each_epoch
from sklearn.base import clone
from skorch.callbacks import Callback
from torch import nn

from skjointprune._training import checkpoint as checkpoints
from skjointprune._training.checkpoint import Checkpoint
from skjointprune._utils import versions


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "fit")


def interrupt():
    signal.raise_signal(signal.SIGINT)


@pytest.fixture
def interrupt_at(monkeypatch):
    """Let an interrupt come, once, in an epoch of all that a fit trains."""

    def set_number(number):
        look, seen = Checkpoint.look, []

        def look_and_interrupt(self, run):
            look(self, run)
            seen.append(1)
            if len(seen) == number:
                interrupt()

        monkeypatch.setattr(Checkpoint, "look", look_and_interrupt)

    monkeypatch.setattr(checkpoints, "LOOK_AFTER", 0)
    return set_number


def test_an_interrupt_writes_what_is_needed_to_go_on(
    quick, planted, path, interrupt_at
):
    whole = quick(alpha=0.12).fit(*planted)
    interrupt_at(4)
    clf = quick(alpha=0.12, checkpoint=path)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(*planted)
    assert signal.getsignal(signal.SIGINT) is before
    assert os.listdir(os.path.dirname(path)) == ["fit"]
    assert_bit_identical(clf.fit(*planted), whole)
    assert not os.path.exists(path)


def test_an_interrupt_while_retraining_leaves_a_usable_fit_and_the_file(
    quick, planted, path, interrupt_at
):
    whole = quick(alpha=0.12).fit(*planted)
    interrupt_at(18)
    clf = quick(alpha=0.12, checkpoint=path)
    with pytest.warns(UserWarning, match="interrupted in epoch"):
        clf.fit(*planted)
    assert clf.n_iter_ < whole.n_iter_
    assert clf.predict(planted[0]).shape == (400,)
    assert os.path.exists(path)
    assert_bit_identical(clf.fit(*planted), whole)
    assert not os.path.exists(path)


def test_nothing_is_written_before_it_is_time(quick, planted, path, monkeypatch):
    written = []
    monkeypatch.setattr(checkpoints, "replace_file", lambda *a, **k: written.append(1))
    quick(checkpoint=path).fit(*planted)
    assert not written
    write_each_epoch(monkeypatch)
    quick(checkpoint=path).fit(*planted)
    assert len(written) > 20


def test_an_interrupt_while_going_on_keeps_what_is_there(
    quick, planted, path, monkeypatch
):
    """The file knows of more trainings than the process that reads it has repeated."""
    clf = quick(pretrain_epochs=3, alpha=0.12, checkpoint=path)
    whole = clone(clf).fit(*planted)
    with monkeypatch.context() as patched:
        stop_after(patched, n_epochs=20)
        with pytest.raises(Stop):
            clf.fit(*planted)
    size = os.path.getsize(path)
    begin, seen = Checkpoint.begin, []

    def begin_and_interrupt(self, run):
        left = begin(self, run)
        seen.append(left)
        interrupt()
        return left

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoint, "begin", begin_and_interrupt)
        with pytest.raises(KeyboardInterrupt):
            clf.fit(*planted)
    assert seen == [0]
    assert os.path.getsize(path) == size
    assert_bit_identical(clf.fit(*planted), whole)


def test_a_file_does_not_grow_as_a_fit_goes_on(quick, planted, path, monkeypatch):
    clf = quick(pretrain_epochs=3, alpha=0.12, checkpoint=path)
    sizes = []
    for parts in ([20], [2, 2, 10, 6]):
        for n_epochs in parts:
            with monkeypatch.context() as patched:
                stop_after(patched, n_epochs)
                with pytest.raises(Stop):
                    clf.fit(*planted)
        sizes.append(os.path.getsize(path))
        os.remove(path)
    assert sizes[1] == pytest.approx(sizes[0], rel=0.01)


def test_a_link_stays_and_the_folder_may_change(
    quick, planted, path, tmp_path, monkeypatch
):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    os.symlink(folder / "file", path)
    monkeypatch.chdir(tmp_path)
    clf = quick(alpha=0.12, checkpoint="fit")
    with monkeypatch.context() as patched:
        stop_after(patched, n_epochs=4)
        with pytest.raises(Stop):
            clf.fit(*planted)
        assert os.listdir(folder) == ["file"]

    def leave():
        monkeypatch.chdir(folder)

    write_each_epoch(monkeypatch)
    monkeypatch.setattr(Checkpoint, "check_data", lambda self, digests: leave())
    clf.fit(*planted)
    assert os.listdir(folder) == []
    assert os.path.islink(path)


def test_a_fit_in_a_thread_writes_as_well(quick, planted, path, monkeypatch):
    clf = quick(alpha=0.12, checkpoint=path)
    whole = clone(clf).fit(*planted)
    stop_after(monkeypatch, n_epochs=4)
    ends = []

    def fit():
        torch.set_num_threads(1)
        try:
            clf.fit(*planted)
            ends.append("done")
        except Stop:
            ends.append("stopped")

    while "done" not in ends:
        thread = threading.Thread(target=fit)
        thread.start()
        thread.join()
    assert len(ends) > 2
    assert_bit_identical(clf, whole)


@pytest.fixture
def stopped(quick, planted, path, monkeypatch):
    """Leave the file of a fit that was stopped, and return what was fitted."""
    clf = quick(alpha=0.12, checkpoint=path)
    with monkeypatch.context() as patched:
        stop_after(patched, n_epochs=4)
        with pytest.raises(Stop):
            clf.fit(*planted)
    return clf


def test_another_number_of_threads_is_told(stopped, planted, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    with pytest.warns(UserWarning, match=r"2 threads, and began with 1: .*\(1\)"):
        stopped.fit(*planted)


def test_another_version_is_named(stopped, planted, monkeypatch):
    monkeypatch.setattr(versions, "__version__", "9.9")
    with pytest.raises(ValueError, match=r"other versions: skjointprune \(.*9\.9"):
        stopped.fit(*planted)


class Counts(Callback):
    """Holds numbers under names that do not look like state."""

    def __init__(self):
        self.seen, self.losses = 0, []

    def on_epoch_end(self, net, **kwargs):
        self.seen += 1
        self.losses.append(net.history[-1, "train_loss"])


class Averages(Callback):
    """Has a state of its own, which only it can read."""

    def __init__(self):
        self.network = None

    def on_train_begin(self, net, **kwargs):
        self.network = nn.Linear(1, 1)
        with torch.no_grad():
            self.network.weight.fill_(0.0)

    def on_epoch_end(self, net, **kwargs):
        with torch.no_grad():
            self.network.weight.add_(net.history[-1, "train_loss"])


class Owns(Callback):
    def __init__(self):
        self.held = object()
        self.total = 0.0

    def on_epoch_end(self, net, **kwargs):
        self.total += net.history[-1, "train_loss"]

    def state_dict(self):
        return {"total": self.total}

    def load_state_dict(self, state):
        self.total = state["total"]


@pytest.mark.parametrize(
    ("kind", "read"),
    [
        (Counts, lambda c: (c.seen, c.losses)),
        (Averages, lambda c: float(c.network.weight)),
        (Owns, lambda c: c.total),
    ],
)
def test_callbacks_of_the_user_go_on(quick, planted, path, monkeypatch, kind, read):
    expected = kind()
    quick(alpha=0.12, callbacks=[expected]).fit(*planted)
    stop_after(monkeypatch, n_epochs=10)
    for _ in range(3):
        callback = kind()  # as a new process has
        try:
            quick(alpha=0.12, callbacks=[callback], checkpoint=path).fit(*planted)
        except Stop:
            continue
    assert not os.path.exists(path)
    assert read(callback) == read(expected)


class Holds(Callback):
    def __init__(self):
        self.file = os.devnull and open(os.devnull)  # noqa: SIM115


def test_a_callback_that_cannot_be_written_is_refused_at_once(quick, planted, path):
    class Late(Holds):
        def __init__(self):
            pass

        def on_epoch_end(self, net, **kwargs):
            self.made = object()

    holds = Holds()
    clf = quick(callbacks=[holds], checkpoint=path)
    with pytest.raises(ValueError, match=r"\(Holds\) keeps `file` that .*state_dict"):
        clf.fit(*planted)
    holds.file.close()
    with pytest.raises(ValueError, match=r"\(Late\) keeps `made`"):
        quick(callbacks=[Late()], checkpoint=path).fit(*planted)
    assert os.listdir(os.path.dirname(path)) == []


class Records(Callback):
    def __init__(self, value):
        self.value = value

    def on_epoch_end(self, net, **kwargs):
        net.history.record("mine", self.value())


def test_a_history_that_cannot_be_written_is_refused(quick, planted, path):
    clf = quick(callbacks=[Records(object)], checkpoint=path)
    with pytest.raises(ValueError, match="recorded in the history"):
        clf.fit(*planted)


class Strange(torch.optim.SGD):
    def step(self, closure=None):
        super().step(closure)
        for p in self.param_groups[0]["params"]:
            self.state[p]["mine"] = print


def test_an_optimiser_that_cannot_be_written_is_refused(
    quick, planted, path, monkeypatch
):
    write_each_epoch(monkeypatch)
    with pytest.raises(ValueError, match="`optimizer` Strange holds"):
        quick(optimizer=Strange, checkpoint=path).fit(*planted)


def test_generators_of_numpy_and_python_go_on(quick, planted, path, monkeypatch):
    def recorded(n_epochs):
        with monkeypatch.context() as patched:
            stop_after(patched, n_epochs)
            for seed in range(9):  # of which the first alone counts
                np.random.seed(seed)  # noqa: NPY002
                random.seed(seed)
                callbacks = [Records(random.random), ("b", Records(np.random.rand))]
                clf = quick(alpha=0.12, callbacks=callbacks, checkpoint=path)
                with suppress(Stop):
                    return clf.fit(*planted).history_[:, "mine"]

    assert recorded(1000) == recorded(9)


def test_a_dataset_is_told_by_some_of_its_images(pictures, path, monkeypatch):
    X, y = pictures
    clf = make(max_epochs=4, retrain_epochs=2, checkpoint=path)
    with monkeypatch.context() as patched:
        stop_after(patched, n_epochs=2)
        with pytest.raises(Stop):
            clf.fit(Pictures(X), y)
    with pytest.raises(ValueError, match="other data: `X`"):
        clf.fit(Pictures(255 - X), y)
    assert clf.fit(Pictures(X), y).support_.any()
