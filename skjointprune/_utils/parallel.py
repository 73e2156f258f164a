"""Many calls of one function, by joblib: here, in processes, or on a cluster."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from joblib import Parallel, delayed
from joblib.parallel import get_active_backend

from .warn import collect_warnings, warn_once


def call_each(
    function: Callable,
    shared: Sequence[Any],
    each: Iterable[tuple],
    n_jobs: int | None,
) -> list[Any]:
    """Return `function(*shared, *item)` for each item, in their order.

    A warning comes once for all calls, from this process.

    Parameters
    ----------
    function : callable
    shared : sequence
        Arguments of all calls, as X and y. A cluster gets them once.
    each : iterable of tuple
        Arguments of each call. They travel with it, so that they are not lost with
        the worker that was to run it.
    n_jobs : int or None
        How many calls to run at once.
    """
    shared = _send_once(shared)
    called = Parallel(n_jobs=n_jobs)(
        delayed(_call)(function, item, *shared) for item in each
    )
    warn_once(message for _, messages in called for message in messages)
    return [result for result, _ in called]


def _send_once(shared: Sequence[Any]) -> Sequence[Any]:
    """Return futures of what all calls need, where the backend is a Dask cluster.

    Each is the result of a task. Where a worker is lost, the scheduler repeats it. Data
    that are scattered, as joblib itself does, would be lost: Dask soon drops all copies
    but one, unless tasks wait for them.
    """
    backend, _ = get_active_backend()
    client = getattr(backend, "client", None)
    if client is None:
        return shared
    import dask

    # data may be large
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 PB"}):
        # Dask would search arguments for futures, but not a function
        futures = [client.submit(partial(_same, value), pure=False) for value in shared]
    backend.effective_n_jobs(1)  # waits for the first worker
    return futures


def _same(value: Any) -> Any:
    return value


def _call(function: Callable, item: tuple, *shared: Any) -> tuple[Any, list[str]]:
    """Return what a function returns, and what it warned of."""
    with collect_warnings() as messages:
        return function(*map(_value_of, shared), *item), messages


def _value_of(argument: Any) -> Any:
    """Return an argument, or what a future stands for.

    A worker gets values. But joblib makes the calls here, and not on the cluster, where
    that has a single core, as after the loss of a worker.
    """
    is_future = type(argument).__module__ == "distributed.client"
    return argument.result() if is_future else argument
