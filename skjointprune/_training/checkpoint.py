"""Checkpoints: a fit that is interrupted goes on where it was.

A fit is a chain of trainings, and of steps between them that take little time and draw
from known seeds. So a checkpoint holds the state of each training so far, in their
order. A fit that goes on runs through the same chain, and each training takes on its
state: one that had finished is over at once, and the last one goes on.
"""

import json
import operator
import os
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from skorch.callbacks import Callback

from .._storage.archive import (
    CHECKPOINT,
    TAIL_LENGTH,
    import_safetensors,
    is_archive,
    pack_archive,
    replace_file,
    unpack_archive,
)
from .._storage.lock import Lock
from .._storage.packed import Packed, pack
from .._utils.seeds import draw_seed
from .._utils.signals import BeforeSignals
from .._utils.versions import versions
from .._utils.warn import warn_caller
from .run_state import RunState

FORMAT = 1
LOOK_AFTER = 1.0  # seconds from one copy of the state, in memory, to the next,
WRITE_AFTER = 60.0  # and from one file to the next;
TIMES_AS_LONG = 20  # but so many times as long as the last one took, at least


class Checkpoint:
    """Keeps what a fit needs to go on: in memory, and at times in a file.

    The file is written once a minute, at the end of an epoch, and when a signal ends
    the process. It is removed once the fit is finished.

    Parameters
    ----------
    path : str, path-like or None
        The file; None keeps nothing.
    params : mapping of str to str
        Digests of the parameters of the fit.

    Examples
    --------
    All of a fit is inside, and each training asks for its state::

        with Checkpoint(path, params) as checkpoint:
            seed = checkpoint.draw_seed(random_state)
            checkpoint.check_data({"X": lambda: digest(X)})
            left = checkpoint.begin(run)
            …  # `look` after each epoch
            checkpoint.end(run)
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        params: Mapping[str, str] | None = None,
    ):
        self.path = None if path is None else os.fspath(path)
        # where that is now, whatever a link, or the working folder, is changed to
        self._target = Path(os.path.realpath(self.path or ""))
        self.params = dict(params or {})
        self._data: dict[str, str] = {}
        self._seed = 0
        self._saved: dict[str, Any] | None = None  # what an earlier fit has left
        self._runs_saved: list[Packed] = []
        self._runs: list[Packed] = []
        self._written: list[Packed] = []
        self._interrupted = False
        self._looks, self._writes = _Due(), _Due()

    @property
    def keeps(self) -> bool:
        """Whether there is a file."""
        return self.path is not None

    def __enter__(self) -> Self:
        if self.path is None:
            return self
        import_safetensors("`checkpoint`")
        if self._target.is_dir() or not self._target.parent.is_dir():
            raise ValueError(
                f"`checkpoint` must name a file in a folder that is there. Got "
                f"{self.path!r}; make the folder, or name a file in another one."
            )
        self._lock = Lock(self._target)
        try:
            free = self._lock.acquire()
        except OSError as error:
            raise ValueError(
                f"`checkpoint` must name a file that can be written. Got {self.path!r} "
                f"({error.strerror}); name one in a folder that you may write to."
            ) from error
        if not free:
            raise ValueError(
                f"`checkpoint`={self.path!r} is in use by another fit. Give each fit a "
                "file of its own."
            )
        try:
            self._partly_written().unlink(missing_ok=True)
            if self._target.exists():
                self._read()
        except BaseException:
            self._lock.release()
            raise
        self._looks, self._writes = _Due(), _Due()
        self._signals = BeforeSignals(self._write_last)
        self._signals.__enter__()
        return self

    def __exit__(self, kind, error, traceback) -> None:
        if self.path is None:
            return
        try:
            if kind is None and not self._interrupted:
                with self._signals.put_off():
                    self._target.unlink(missing_ok=True)
            elif kind is None or not issubclass(kind, Exception):
                self._write_last()
        finally:
            self._signals.__exit__(kind, error, traceback)
            self._lock.release()

    def draw_seed(self, random_state: int | np.random.RandomState | None) -> int:
        """Draw a seed; where none is given, that of the fit which is to go on.

        Raises
        ------
        ValueError
            If that fit had other parameters.
        """
        self._seed = draw_seed(random_state)
        if self.path is None:
            return self._seed
        drawn = "None" if random_state is None else str(self._seed)
        self.params |= {"random_state": drawn}
        if self._saved is not None:
            self._compare("parameters", self._saved["params"], self.params)
            self._compare("versions", self._saved["versions"], versions())
            if random_state is None:
                self._seed = self._saved["seed"]
            self._warn_of_threads(self._saved["threads"])
        return self._seed

    def check_data(self, digests: Mapping[str, Callable[[], str]]) -> None:
        """Take note of the data.

        Raises
        ------
        ValueError
            If the fit which is to go on had others.
        """
        if self.path is None:
            return
        self._data = {name: compute() for name, compute in digests.items()}
        if self._saved is not None:
            self._compare("data", self._saved["data"], self._data)

    def begin(self, run: RunState) -> int:
        """Begin a training, or go on with it; return how many epochs are left."""
        if self.path is None:
            return run.epochs
        number = len(self._runs)
        if number < len(self._runs_saved):
            packed = self._runs_saved[number]
            try:
                left = run.restore_(packed)
            except Exception as error:  # of any kind: the file may hold anything
                raise ValueError(
                    f"`checkpoint`={self.path!r} does not fit this call: "
                    f"{type(error).__name__}: {error} Remove the file to begin anew."
                ) from error
            self._runs.append(packed)
            self._written = list(self._runs)
            return left
        self._runs.append(run.pack())
        return run.epochs

    def look(self, run: RunState) -> None:
        """Copy the state between two epochs, and write it, where it is time to."""
        if self._looks.is_due(LOOK_AFTER):
            with self._looks:
                self._runs[-1] = run.pack()
            self._write_if_due()

    def end(self, run: RunState) -> None:
        """Copy the state of a training that is over."""
        if self.path is None or self._runs[-1].model["finished"]:  # by an earlier fit
            return
        self._runs[-1] = run.pack(finished=True)
        self._write_if_due()

    def interrupt(self) -> None:
        """Keep the file, as the fit is to go on later, though it ends without error."""
        self._interrupted = True

    def _write_if_due(self) -> None:
        if self._writes.is_due(WRITE_AFTER):
            with self._writes:
                self._write_last()

    def _write_last(self) -> None:
        """Write the last copy of the state, if the file is of an earlier one."""
        runs = list(self._runs)
        if len(runs) < len(self._runs_saved) or _are_same(runs, self._written):
            return
        packed = pack(runs)
        model = {
            "versions": versions(),
            "threads": torch.get_num_threads(),
            "params": self.params,
            "data": self._data,
            "seed": self._seed,
            "runs": packed.model,
        }
        tensors = {str(i): tensor for i, tensor in enumerate(packed.tensors)}
        text = json.dumps(model, separators=(",", ":"), allow_nan=False).encode()
        weights = import_safetensors("`checkpoint`").save(tensors)
        data = pack_archive(CHECKPOINT, FORMAT, text, weights)
        with self._signals.put_off():
            replace_file(data, self._target, mark="new")
            self._written = runs

    def _partly_written(self) -> Path:
        """Return the path of the file that a process had not finished as it ended."""
        return self._target.with_name(f"{self._target.name}.new.tmp")

    def _read(self) -> None:
        data = self._target.read_bytes()
        if not is_archive(data[-TAIL_LENGTH:], CHECKPOINT):
            raise ValueError(
                f"`checkpoint`={self.path!r} is no checkpoint, or was cut short or "
                "changed. Remove it to begin anew, or name another file."
            )
        try:
            text, weights = unpack_archive(data, CHECKPOINT, FORMAT)
            model, held = json.loads(text), import_safetensors("").load(weights)
            tensors = [held[str(i)] for i in range(len(held))]
            self._saved = model
            starts = [*(run["start"] for run in model["runs"]), len(tensors)]
            self._runs_saved = [
                Packed(run["value"], tensors[slice(*ends)])
                for run, ends in zip(model["runs"], pairwise(starts), strict=True)
            ]
        except Exception as error:  # of any kind: the file may hold anything
            raise ValueError(
                f"`checkpoint`={self.path!r} cannot be read: {error} Remove it to "
                "begin anew."
            ) from error

    def _compare(
        self, what: str, saved: Mapping[str, str], given: Mapping[str, str]
    ) -> None:
        names = sorted(saved.keys() | given.keys())
        other = [name for name in names if saved.get(name) != given.get(name)]
        if not other:
            return
        named = ", ".join(f"`{name}`" for name in other)
        if what == "versions":
            named = ", ".join(f"{n} ({saved.get(n)}, now {given[n]})" for n in other)
        raise ValueError(
            f"`checkpoint`={self.path!r} is of a fit with other {what}: {named}. Give "
            "those of the first call to go on, or remove the file to begin anew."
        )

    def _warn_of_threads(self, before: int) -> None:
        if torch.get_num_threads() != before:
            warn_caller(
                f"The fit goes on with {torch.get_num_threads()} threads, and began "
                f"with {before}: sums may differ in the last digit, and so may the "
                f"result. Call torch.set_num_threads({before}) for the same one."
            )


class KeepState(Callback):
    """Show a checkpoint the state of a training after each epoch."""

    def __init__(self, checkpoint: Checkpoint, run: RunState):
        self.checkpoint, self.run = checkpoint, run

    def on_epoch_end(self, net, **kwargs):
        """Let it look."""
        self.checkpoint.look(self.run)


class _Due:
    """Tells when it is time again for something, given how long it takes."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._took = 0.0

    def is_due(self, seconds: float) -> bool:
        """Tell whether so many seconds have passed, and enough for what it takes."""
        passed = time.monotonic() - self._last
        return passed >= max(seconds, TIMES_AS_LONG * self._took)

    def __enter__(self) -> None:
        self._begun = time.monotonic()

    def __exit__(self, kind, error, traceback) -> None:
        self._last = time.monotonic()
        self._took = self._last - self._begun


def _are_same(runs: list[Packed], others: list[Packed]) -> bool:
    return len(runs) == len(others) and all(map(operator.is_, runs, others))
