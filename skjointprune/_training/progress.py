"""Progress of a fit: one line that says what is happening and how long it takes."""

import multiprocessing
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from copy import copy
from typing import Self, TextIO

PRETRAIN = "training the dense network"
TEACH = "training a teacher"
SEARCH = "searching"
CHOOSE = "choosing inputs"
SPARSIFY = {
    "joint": "removing inputs and units",
    "inputs": "removing inputs",
    "weights": "removing units",
    "none": "training",
}
COMPARE = "comparing numbers of inputs"
RETRAIN = "retraining"

SILENT = 2.0  # seconds at first: a short fit says nothing
REWRITTEN = 0.2  # seconds from one look of a line to the next, on a terminal
REPEATED = 10.0  # seconds from one line to the next, elsewhere

Plan = Sequence[tuple[str, float]]  # phases that are to come, and their epochs


class Progress:
    """A line about a fit, on stderr.

    On a terminal it is rewritten in place. Elsewhere, as in a file or a notebook, and
    beside a table of epochs, there is a new line for each phase, and one every ten
    seconds. What a fit takes in all is judged by the mean time of an epoch so far.

    Parameters
    ----------
    verbose : int
        0 says nothing; 1 rewrites the line; more leaves room for other lines.
    label : str
        Which fit of several it is.
    stream : text stream or None
        None is what `sys.stderr` is in `__enter__`.
    clock : callable
        Returns seconds.

    Examples
    --------
    The line is open while a fit runs::

        with Progress(verbose) as progress:
            progress.expect([(RETRAIN, 20)], n_inputs=100)
            progress.begin(RETRAIN, 20)
            progress.advance(0.5, inputs_left=lambda: 10)
    """

    def __init__(
        self,
        verbose: int,
        label: str = "",
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.verbose, self.label = verbose, label
        self.stream, self.clock = stream, clock
        self._due = clock() + SILENT
        self._begun = self._training_since = clock()
        self._out: TextIO | None = None  # while the line is open
        self._in_place = False
        self._later: list[tuple[str, float]] = []
        self._n_inputs = self._of = 0
        self._what = "inputs"
        self._phase, self._text = "", ""
        self._epochs = self._done = self._done_before = 0.0

    def named(self, label: str) -> "Progress":
        """Return the line of one of several fits, which began as this one did."""
        new = copy(self)
        new.label = label
        return new

    def __enter__(self) -> Self:
        self._begun = self.clock()
        self._later, self._text = [], ""
        self._epochs = self._done = self._done_before = 0.0
        if self.verbose:
            self._out = self.stream or sys.stderr
            at_terminal = self._out is not None and self._out.isatty()
            alone = multiprocessing.current_process().name == "MainProcess"
            self._in_place = self.verbose == 1 and at_terminal and alone
        return self

    def __exit__(self, kind, error, traceback) -> None:
        if self._text:
            if error is None:
                self._write(f"done in {_duration(self.clock() - self._begun)}")
            if self._in_place:
                self._print("\n")
        self._out = None

    def expect(self, plan: Plan, n_inputs: int) -> None:
        """Take note of the phases of the fit, in their order, and of its inputs."""
        self._later = list(plan)
        self._n_inputs = n_inputs

    def begin(self, phase: str, epochs: float, shadows: int = 0) -> None:
        """Begin a phase; those that were expected before it are not to come any more.

        With shadows, they count among the inputs.
        """
        names = [name for name, _ in self._later]
        if phase in names:
            self._later = self._later[names.index(phase) + 1 :]
        self._done_before += self._done
        if not self._done_before + self._done:  # what comes before is no training
            self._training_since = self.clock()
        if phase != self._phase and self._text and not self._in_place:
            self._due = self.clock()
        self._phase, self._epochs, self._done = phase, epochs, 0.0
        self._of = self._n_inputs + shadows
        self._what = "inputs and shadows" if shadows else "inputs"

    def skip(self, epochs: float) -> None:
        """Leave out epochs of a phase that were trained before an interruption."""
        self._epochs -= epochs

    def advance(self, epochs: float, inputs_left: Callable[[], int]) -> None:
        """Say where the fit is, after a part of an epoch, if it is time to."""
        self._done = min(self._done + epochs, self._epochs)
        if self._out is None or self.clock() < self._due:
            return
        inputs = f"{inputs_left():,} of {self._of:,} {self._what} left"
        to_go = _duration(self.seconds_left())
        self._write(f"{self._phase}, {inputs}, about {to_go} to go")
        self._due = self.clock() + (REWRITTEN if self._in_place else REPEATED)

    def seconds_left(self) -> float:
        """Return how long the fit will go on, at least 0."""
        later = sum(epochs for _, epochs in self._later)
        left = self._epochs - self._done + later
        done = self._done_before + self._done
        return left * (self.clock() - self._training_since) / done if done else 0.0

    def _write(self, text: str) -> None:
        text = f"{self.label}: {text}" if self.label else text
        if not self._in_place:
            self._print(f"{text}\n")
        else:
            text = text[: shutil.get_terminal_size().columns - 1]
            self._print("\r" + text.ljust(len(self._text)))
        self._text = text

    def _print(self, text: str) -> None:
        if self._out is not None:
            self._out.write(text)
            self._out.flush()


def _duration(seconds: float) -> str:
    """Return a duration in words, to two digits or so."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
