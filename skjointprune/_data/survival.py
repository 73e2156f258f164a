"""Times to an event, which of some rows are not known to the end."""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, ClassVar

import numpy as np

from .frames import column_of, from_arrow, is_frame, values_of
from .step_function import StepFunction
from .targets import EncodedTargets, ReadRows, Targets

HOW_TO_PASS = (
    "pass a structured array of an event (bool) and a time (float), as "
    "`sksurv.util.Surv` makes it, or a DataFrame of two columns, event and time"
)


@dataclass(frozen=True, eq=False)
class Survival(Targets):
    """Times to an event; the output is the log of a hazard ratio.

    `times` are those of the rows of a fit, each once, ascending. `hazard` is the
    cumulative hazard at each of them where the output is 0, once a network is finished
    (Breslow's estimator).
    """

    times: np.ndarray
    hazard: np.ndarray | None = None

    n_outputs: ClassVar[int] = 1  # type: ignore[misc]
    flat: ClassVar[bool] = True  # type: ignore[misc]
    # An event says less than a number or a class: too little for sharp functions.
    network_defaults: ClassVar[dict[str, Any]] = {
        "embedding": None,
        "norm": None,
        "dropout": 0.4,
    }

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """Return risk scores, (rows,)."""
        return outputs[:, 0].astype(np.float64)

    def finished(self, read_rows: ReadRows) -> "Survival":
        """Return targets with the hazard for the outputs of a network."""
        outputs, y, weight = read_rows()
        rank, event = y[:, 0].astype(int), y[:, 1]
        weight = weight.astype(np.float64)
        n = len(self.times)
        risk = weight * np.exp(self.decode(outputs))
        at_risk = np.bincount(rank, risk, minlength=n)[::-1].cumsum()[::-1]
        events = np.bincount(rank, weight * event, minlength=n)
        return replace(self, hazard=np.cumsum(events / at_risk))

    def cumulative_hazards(self, risk: np.ndarray) -> np.ndarray:
        """Return the cumulative hazard of rows at `times`, (rows, times)."""
        assert self.hazard is not None
        return np.exp(risk)[:, None] * self.hazard

    def as_functions(self, values: np.ndarray) -> np.ndarray:
        """Return a step function for each row of values at `times`, (rows, times)."""
        functions = np.empty(len(values), dtype=object)
        for i, of_row in enumerate(values):
            functions[i] = StepFunction(self.times, of_row)
        return functions


def holds_survival(y: Any) -> bool:
    """Tell whether y holds events and times without a doubt: as a structured array."""
    return isinstance(y, np.ndarray) and y.dtype.names is not None


def is_frame_of_event_and_time(y: Any) -> bool:
    """Tell whether y is a frame of one column of booleans and one of numbers."""
    if not is_frame(y) or y.shape[1] != 2:
        return False
    kinds = [str(column_of(y, i).dtype).lower() for i in range(2)]
    return sum(kind.startswith("bool") for kind in kinds) == 1


def read_survival(y: Any) -> np.ndarray:
    """Return events, 0 or 1, and times, (rows, 2), as float64.

    The event is the one of the two columns that holds booleans; or is named "event"; or
    comes first.

    Raises
    ------
    ValueError
        If y has other than two columns, or one holds what is no event, or no time.
    """
    if y is None:
        raise ValueError(
            "JointPruneSurvival requires y to be passed, but the target y is None: "
            f"{HOW_TO_PASS}."
        )
    columns = _columns(from_arrow(y))
    names = list(columns)
    booleans = [name for name in names if columns[name].dtype.kind == "b"]
    if len(booleans) == 1:
        (event,) = booleans
    else:
        event = "event" if "event" in names else names[0]
    (time,) = (name for name in names if name != event)
    return np.column_stack(
        [_read_events(columns[event], event), _read_times(columns[time], time)]
    )


def _columns(y: Any) -> dict[Any, np.ndarray]:
    """Return the two columns of y by their names."""
    if holds_survival(y):
        columns = {name: y[name] for name in y.dtype.names}
    elif is_frame(y):
        columns = {name: _as_array(column_of(y, i)) for i, name in enumerate(y.columns)}
    else:
        shape = getattr(y, "shape", None)
        of_shape = "" if shape is None else f" of shape {tuple(shape)}"
        raise ValueError(
            "y must say of each row whether the event was seen, and when. Got a "
            f"{type(y).__name__}{of_shape}; {HOW_TO_PASS}."
        )
    if len(columns) != 2 or any(values.ndim != 1 for values in columns.values()):
        raise ValueError(
            "y must have two columns, event and time, each of one number a row. Got "
            f"the columns {list(columns)}; {HOW_TO_PASS}."
        )
    return columns


def _as_array(column: Any) -> np.ndarray:
    """Return a column of a frame, with None where a value is missing."""
    values = np.asarray(column)
    return values if values.dtype.kind in "fiub" else np.array(values_of(column))


def _read_events(values: np.ndarray, name: Any) -> np.ndarray:
    numbers = _as_numbers(values)
    wrong = ~np.isin(numbers, (0, 1))
    if wrong.any():
        raise ValueError(
            f"The column {name!r} of y must be True where the event was seen and False "
            f"where the row was censored, or 1 and 0. Got {values[wrong][0]!s}; recode "
            "it, or let the event be the first column."
        )
    return numbers


def _read_times(values: np.ndarray, name: Any) -> np.ndarray:
    if values.dtype.kind in "mM" or any(
        isinstance(v, date | timedelta) for v in values.tolist()
    ):
        raise ValueError(
            f"The column {name!r} of y must hold times as numbers. Got {values[0]!s}; "
            "convert it, to days for example."
        )
    numbers = _as_numbers(values)
    wrong = ~(np.isfinite(numbers) & (numbers >= 0))
    if wrong.any():
        raise ValueError(
            f"The column {name!r} of y must hold times, finite and at least 0. Got "
            f"{values[wrong][0]!s}; leave such rows out, or count time from another "
            "start."
        )
    return numbers


def _as_numbers(values: np.ndarray) -> np.ndarray:
    """Return values as float64, NaN where one is no number."""
    if values.dtype.kind in "fiub":
        return values.astype(np.float64)
    if values.dtype.kind == "O":
        kinds = (bool, int, float, np.number, np.bool_)
        known = [float(v) if isinstance(v, kinds) else np.nan for v in values]
        return np.array(known, dtype=np.float64)
    return np.full(len(values), np.nan)


def encode_survival(y: np.ndarray, weight: np.ndarray) -> EncodedTargets:
    """Encode events and times, (rows, 2).

    Codes are the rank of the time, the event, and the weight that the row has where it
    is at risk: all that a partial likelihood takes.

    Raises
    ------
    ValueError
        If no event comes before the time of another row, so that nothing is learnt.
    """
    event, time = y[:, 0] > 0, y[:, 1]
    if not event.any():
        raise ValueError(
            f"y must hold events. Got {len(y)} rows with positive weight, all of them "
            "censored; add rows where the event was seen."
        )
    times, rank = np.unique(time, return_inverse=True)
    first = rank[event].min()
    if not (rank[~event] >= first).any() and not (rank[event] > first).any():
        raise ValueError(
            "y must hold an event while another row is at risk. Got one time, "
            f"{times[first]:g}, for all events, and no row that outlasts it; add rows "
            "of later times."
        )
    values = np.column_stack([rank, event, weight / weight.mean()])
    return EncodedTargets(Survival(times), values, weight, strata=event.astype(int))
