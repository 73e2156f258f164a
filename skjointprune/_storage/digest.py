"""Digests: whether two values, from two processes, are the same."""

import copyreg
import hashlib
import json
import random
from collections.abc import Iterable, Iterator
from functools import partial
from inspect import isclass, isroutine
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from scipy.sparse import issparse
from torch import Tensor, nn

from .json_values import to_json

GENERATORS = (
    random.Random,
    np.random.Generator,
    np.random.RandomState,
    torch.Generator,
)
BYTES_AT_ONCE = 2**24  # of an array, which may be a map of a file


def digest(value: Any) -> str:
    """Return a digest of a value: the same where it is, in another process too.

    Of arrays and tensors each byte counts. Of functions and classes the code counts,
    of modules the code and the tensors, and of other objects their class and their
    attributes, but for those that a fit sets, whose names end in "_".

    Raises
    ------
    TypeError
        If it holds an object whose state cannot be seen.
    """
    return _Digest().of(value).hex()


class _Digest:
    """Digests of the parts of a value; what contains itself is met once."""

    def __init__(self) -> None:
        self.open: dict[int, int] = {}

    def of(self, value: Any) -> bytes:
        """Return the digest of a part."""
        if id(value) in self.open:
            return _hash("again", [b"%d" % self.open[id(value)]])
        self.open[id(value)] = len(self.open)
        try:
            return self._of(value)
        finally:
            del self.open[id(value)]

    def _of(self, value: Any) -> bytes:
        kind = type(value)
        if isinstance(value, np.ndarray):
            if value.dtype.kind in "OU":
                return _hash("objects", [_text(value.shape), self.of(value.tolist())])
            return _hash_array(value)
        if isinstance(value, Tensor):
            return _hash_tensor(value)
        if issparse(value):
            parts = [value.tocsr().sorted_indices()]
            arrays = [getattr(parts[0], n) for n in ("data", "indices", "indptr")]
            return _hash("sparse", [*map(_hash_array, arrays), _text(value.shape)])
        if isinstance(value, nn.Module):
            return self._of_module(value)
        if isinstance(value, dict):
            items = [self.of(k) + self.of(v) for k, v in value.items()]
            return _hash("dict", sorted(items))
        if isinstance(value, set | frozenset):
            return _hash("set", sorted(map(self.of, value)))
        if isinstance(value, list | tuple):
            return _hash(kind.__name__, map(self.of, value))
        if isclass(value):
            return self._of_class(value)
        if isinstance(value, partial):
            parts = [value.func, value.args, value.keywords]
            return _hash("partial", map(self.of, parts))
        if isinstance(value, MethodType):
            return _hash("method", [self.of(value.__func__), self.of(value.__self__)])
        if isinstance(value, FunctionType):
            return self._of_function(value)
        if isroutine(value):  # compiled, as those of numpy
            return _hash("builtin", [_text(_name_of(value))])
        if isinstance(value, GENERATORS):
            return self._of_generator(value)
        if isinstance(value, ModuleType):
            return _hash("package", [_text(value.__name__)])
        if hasattr(value, "__array__") and not isinstance(value, np.generic):
            return self.of(np.asarray(value))
        try:
            text = json.dumps(to_json(value), sort_keys=True)
            return _hash("value", [text.encode()])
        except TypeError:
            return self._of_object(value)

    def _of_generator(self, value: Any) -> bytes:
        """Return the digest of a generator that all share, and that is kept apart."""
        shared: list[Any] = [random.random, np.random.rand]
        if not any(value is function.__self__ for function in shared):
            raise TypeError(
                f"a {type(value).__name__} is not the same once it was drawn from: "
                "draw from torch, numpy.random or random itself"
            )
        return _hash("generator", [_text(_name_of(type(value)))])

    def _of_object(self, value: Any) -> bytes:
        parts = [_text(_name_of(type(value)))]
        if not type(value).__module__.startswith(("torch.", "sklearn.", "skorch.")):
            parts.append(self._of_class(type(value)))
        if not hasattr(value, "__dict__"):
            return _hash("object", [*parts, self._of_what_is_pickled(value)])
        for name, part in sorted(vars(value).items()):
            if name.startswith("_") or not name.endswith("_"):
                parts += [_text(name), self.of(part)]
        return _hash("object", parts)

    def _of_what_is_pickled(self, value: Any) -> bytes:
        """Return the digest of what pickle would keep; nothing is pickled."""
        known = copyreg.dispatch_table.get(type(value))
        kept = value.__reduce_ex__(2) if known is None else known(value)
        if isinstance(kept, str):
            return _text(kept)
        parts = [list(p) if isinstance(p, Iterator) else p for p in kept]
        return _hash("parts", map(self.of, parts))

    def _of_module(self, module: nn.Module) -> bytes:
        parts = []
        for path, layer in module.named_modules():
            parts += [_text(path), self._of_class(type(layer))]
            for name, value in sorted(vars(layer).items()):
                if type(value) in (int, float, bool, str, tuple) and name != "training":
                    parts += [_text(name), self.of(value)]
        held = [*module.named_parameters(), *module.named_buffers()]
        for name, tensor in held:
            parts += [_text(name), _hash_tensor(tensor)]
        return _hash("module", parts)

    def _of_class(self, kind: type) -> bytes:
        parts = [_text(_name_of(kind))]
        own = not kind.__module__.startswith(("torch.", "sklearn.", "skorch.", "numpy"))
        for name, value in sorted(vars(kind).items()) if own else ():
            function = getattr(value, "__func__", getattr(value, "fget", value))
            if isinstance(function, FunctionType):
                parts += [_text(name), self.of(function)]
        parts += [self._of_class(base) for base in kind.__bases__ if base is not object]
        return _hash("class", parts)

    def _of_function(self, function: FunctionType) -> bytes:
        closed = []
        for cell in function.__closure__ or ():
            try:
                closed.append(self.of(cell.cell_contents))
            except ValueError:  # empty yet
                continue
        given = [function.__defaults__, function.__kwdefaults__]
        parts = [_text(_name_of(function)), self._of_code(function.__code__)]
        return _hash("function", [*parts, *map(self.of, given), *closed])

    def _of_code(self, code: CodeType) -> bytes:
        constants = [
            self._of_code(c) if isinstance(c, CodeType) else self.of(c)
            for c in code.co_consts
        ]
        return _hash("code", [code.co_code, _text(code.co_names), *constants])


def _hash(kind: str, parts: Iterable[bytes]) -> bytes:
    hashed = hashlib.sha256(kind.encode())
    for part in parts:
        hashed.update(b"%d:" % len(part))
        hashed.update(part)
    return hashed.digest()


def _text(value: Any) -> bytes:
    return repr(value).encode()


def _name_of(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"


def _hash_array(array: np.ndarray) -> bytes:
    if array.dtype.names:  # between its fields may stand anything
        fields = [_text(n) + _hash_array(array[n]) for n in array.dtype.names]
        return _hash("fields", fields)
    hashed = hashlib.sha256(f"{array.dtype} {array.shape}".encode())
    flat = array.reshape(1) if array.ndim == 0 else array
    size = max(1, BYTES_AT_ONCE // max(1, flat.nbytes // max(1, len(flat))))
    for start in range(0, len(flat), size):
        hashed.update(np.ascontiguousarray(flat[start : start + size]).view("u1").data)
    return hashed.digest()


def _hash_tensor(tensor: Tensor) -> bytes:
    tensor = tensor.detach().cpu().contiguous()
    flat = tensor.reshape(-1).view(torch.uint8) if tensor.numel() else tensor.numpy()
    described = [_text((str(tensor.dtype), tuple(tensor.shape)))]
    return _hash("tensor", [*described, np.asarray(flat).tobytes()])
