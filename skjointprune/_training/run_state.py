"""State of a training: all that it changes, to go on as if it had not ended."""

import random
from collections.abc import Iterable
from functools import partial
from inspect import isclass, ismodule, isroutine
from itertools import groupby
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback

from .._graph.network import Network
from .._graph.state import restore_state_, state_of
from .._graph.tensors import get_tensor, names_of_tensors
from .._storage.packed import Packed, pack, unpack
from .net import PruningNet


class RunState:
    """What one training of a network has changed, between two of its epochs.

    That is the network, the optimiser, the callbacks (a pruning one has the saliencies,
    and the inputs that are left), the history, and the generators of random numbers.
    The rows and all else are as they were when it began.

    Parameters
    ----------
    net : PruningNet
        Trains; its callbacks have begun.
    network : Network
    phase : str
    epochs : int
        How many it is to have.
    """

    def __init__(self, net: PruningNet, network: Network, phase: str, epochs: int):
        self.net, self.network = net, network
        self.phase, self.epochs = phase, epochs
        self.callbacks: list[tuple[str, Callback]] = list(net.callbacks_)
        self._rows: list[Packed] = []  # of the history, of which each is packed once

    def pack(self, *, finished: bool = False) -> Packed:
        """Return a copy of the state.

        Raises
        ------
        ValueError
            If a callback, the optimiser or the history hold what cannot be written.
        """
        history = list(self.net.history)
        self._rows += [_pack_row(row) for row in history[len(self._rows) :]]
        state = {
            "phase": self.phase,
            "epochs": self.epochs,
            "finished": finished,
            "network": state_of(self.network),
            "callbacks": {
                name: _state_of_callback(name, c) for name, c in self.callbacks
            },
            "generators": self._generators(),
        }
        if not finished:
            state["optimizer"] = self._pack_optimizer()
        return pack(state | {"history": self._rows})

    def restore_(self, packed: Packed) -> int:
        """Go on from a state; return how many epochs are left.

        Raises
        ------
        ValueError
            If it is that of another training.
        """
        device = torch.device(self.net.device)
        state = unpack(packed, device)
        if (state["phase"], state["epochs"]) != (self.phase, self.epochs):
            raise ValueError(
                f"It holds {state['epochs']} epochs of {state['phase']!r} where the "
                f"fit has {self.epochs} of {self.phase!r}."
            )
        # before the network, of whose first state points of a path are made
        for name, callback in self.callbacks:
            _restore_callback(name, callback, state["callbacks"][name])
        restore_state_(self.network, state["network"])
        if "optimizer" in state:
            self._restore_optimizer(state["optimizer"])
        self.net.history.extend(map(_row_of, state["history"]))
        self._restore_generators(state["generators"])
        return 0 if state["finished"] else self.epochs - len(state["history"])

    def _pack_optimizer(self) -> Packed:
        optimizer = self.net.optimizer_
        module = self.network.module
        names = {
            id(get_tensor(module, name)): first
            for name, (first, *_) in names_of_tensors(module).items()
        }
        parameters = [
            [names[id(p)] for p in group["params"]] for group in optimizer.param_groups
        ]
        try:
            return pack({"parameters": parameters, "state": optimizer.state_dict()})
        except TypeError as error:
            raise ValueError(
                f"`optimizer` {type(optimizer).__name__} holds what a checkpoint "
                f"cannot: {error}. Use another one, or leave `checkpoint` at None."
            ) from error

    def _restore_optimizer(self, state: dict[str, Any]) -> None:
        optimizer = self.net.optimizer_
        groups = zip(optimizer.param_groups, state["parameters"], strict=True)
        for group, names in groups:
            group["params"] = [get_tensor(self.network.module, n) for n in names]
        optimizer.state.clear()
        optimizer.load_state_dict(state["state"])

    def _generators(self) -> dict[str, Any]:
        """Return the state of all that random numbers may come from.

        An image's `transform` may draw from those of numpy and Python.
        """
        name, keys, *more = np.random.get_state()  # noqa: NPY002
        version, numbers, gauss = random.getstate()
        states = {
            "torch": torch.get_rng_state(),
            "numpy": (name, np.asarray(keys, dtype=np.int64), *more),
            "python": (version, np.array(numbers), gauss),
        }
        device = torch.device(self.net.device)
        if device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(device)
        return states

    def _restore_generators(self, states: dict[str, Any]) -> None:
        torch.set_rng_state(states["torch"])
        name, keys, *more = states["numpy"]
        np.random.set_state((name, keys.astype(np.uint32), *more))  # noqa: NPY002
        version, numbers, gauss = states["python"]
        random.setstate((version, tuple(numbers.tolist()), gauss))
        if "cuda" in states:
            torch.cuda.set_rng_state(states["cuda"], torch.device(self.net.device))


def _state_of_callback(name: str, callback: Callback) -> dict[str, Any]:
    """Return what a callback says of its state, or else its attributes.

    Attributes of skorch's own callbacks are state if their name ends in "_". Functions
    and classes are parameters.

    Raises
    ------
    ValueError
        If an attribute cannot be written.
    """
    if _has_state(callback):
        return {"own": _pack_of(name, callback, None, callback.state_dict())}
    of_skorch = type(callback).__module__.startswith("skorch.")
    held = {}
    for attribute, value in vars(callback).items():
        if of_skorch and not attribute.endswith("_"):
            continue
        if isclass(value) or isroutine(value) or ismodule(value):
            continue
        if isinstance(value, partial):
            continue
        if _has_state(value):
            own = _pack_of(name, callback, attribute, value.state_dict())
            held[attribute] = {"own": own}
        else:
            held[attribute] = {"value": _pack_of(name, callback, attribute, value)}
    return {"attributes": held}


def _restore_callback(name: str, callback: Callback, state: dict[str, Any]) -> None:
    if "own" in state:
        callback.load_state_dict(state["own"])
        return
    for attribute, held in state["attributes"].items():
        if "value" in held:
            setattr(callback, attribute, held["value"])
            continue
        value: Any = getattr(callback, attribute, None)
        if not _has_state(value):
            raise ValueError(
                f"The callback {name!r} has no `{attribute}` to take its state once "
                "training begins. Let its `on_train_begin` make one."
            )
        value.load_state_dict(held["own"])


def _has_state(value: Any) -> bool:
    return callable(getattr(value, "state_dict", None)) and callable(
        getattr(value, "load_state_dict", None)
    )


def _pack_of(name: str, callback: Callback, attribute: str | None, value: Any) -> Any:
    try:
        return pack(value)
    except TypeError as error:
        what = f"`{attribute}`" if attribute else "a state"
        raise ValueError(
            f"The callback {name!r} ({type(callback).__name__}) keeps {what} that a "
            f"checkpoint cannot hold: {error}. Give it `state_dict` and "
            "`load_state_dict`, or leave `checkpoint` at None."
        ) from error


def _pack_row(row: dict[str, Any]) -> Packed:
    """Pack an epoch of a history; batches of the same columns as one table."""
    tables = [
        {"columns": columns, "rows": [tuple(batch.values()) for batch in batches]}
        for columns, batches in groupby(row["batches"], key=tuple)
    ]
    try:
        return pack(dict(row) | {"batches": tables})
    except TypeError as error:
        raise ValueError(
            f"A callback recorded in the history what a checkpoint cannot hold: "
            f"{error}. Record numbers or text, or leave `checkpoint` at None."
        ) from error


def _row_of(held: dict[str, Any]) -> dict[str, Any]:
    batches: Iterable[dict[str, Any]] = (
        dict(zip(table["columns"], values, strict=True))
        for table in held["batches"]
        for values in table["rows"]
    )
    return held | {"batches": list(batches)}
