"""What tests send to workers of a cluster, which import it by this name."""

import multiprocessing
import os
import pickle
import signal
from pathlib import Path

from skorch.callbacks import Callback

from skjointprune._utils.warn import warn_caller


def in_worker():
    return multiprocessing.current_process().name != "MainProcess"


class Begins(Callback):
    """Write a line into a file for each fit that begins in a worker.

    The very first may kill processes: those told, and its own.
    """

    def __init__(self, log=None, kills=None):
        self.log = log
        self.kills = kills

    def on_train_begin(self, net, **kwargs):
        if self.log is None or hasattr(self, "begun_") or not in_worker():
            return
        self.begun_ = True
        with Path(self.log).open("a") as file:
            file.write("begun\n")
        if self.kills is not None:
            try:
                Path(f"{self.log}.killed").touch(exist_ok=False)
            except FileExistsError:
                return
            own = os.getpid()
            for process in [*(set(self.kills) - {own}), own]:
                os.kill(process, signal.SIGKILL)


class Warns(Callback):
    """Warn in each fit, of a number that differs."""

    def on_train_begin(self, net, **kwargs):
        if in_worker():
            warn_caller(f"`number` is {id(self)}.")


def told_by_blob(told_by, blob, X):
    """Return what is told by something that was pickled."""
    return told_by(pickle.loads(blob), X)


def same(value):
    return value
