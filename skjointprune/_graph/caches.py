"""Caches outside the module that traced code fills: they must keep no proxies."""

import gc
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import Any

from torch import nn

from .._utils.replaced import replaced

CACHED = type(lru_cache(len))
# Libraries whose functions are not traced: what they cache does not hold proxies.
NOT_TRACED = sys.stdlib_module_names | {
    "numpy",
    "scipy",
    "skjointprune",
    "sympy",
    "torch",
}
DEEPEST = 4  # from a cached function to what it was given: cache, entry, key, argument


@contextmanager
def without_caches(module: nn.Module) -> Iterator[None]:
    """Let functions compute anew what `functools.lru_cache` has kept for them.

    Those that are in a Python module by name, and methods of layers.
    """
    with ExitStack() as stack:
        for owner in _owners(module):
            plain = {name: f.__wrapped__ for name, f in _cached_in(owner).items()}
            stack.enter_context(replaced(owner, plain))
        yield


def forget(proxies: list[Any], module: nn.Module) -> None:
    """Drop what caches hold for some proxies: results of functions, items of dicts."""
    if not proxies:
        return
    known = {*map(id, proxies)}
    for owner in _owners(module):
        for function in _cached_in(owner).values():
            if _reaches(function, known):
                function.cache_clear()
    holders = gc.get_referrers(*proxies)
    keys = [key for key in holders if type(key) is tuple]
    holders += gc.get_referrers(*keys) if keys else []
    known |= {*map(id, keys)}
    for holder in holders:
        if type(holder) is dict:
            for key in [key for key in holder if id(key) in known]:
                del holder[key]


def _owners(module: nn.Module) -> list[Any]:
    """Return Python modules, and the classes of layers, that may hold functions."""
    kinds = dict.fromkeys(c for layer in module.modules() for c in type(layer).__mro__)
    found = [m for m in list(sys.modules.values()) if hasattr(m, "__dict__")]
    return [owner for owner in (*found, *kinds) if not _is_library(owner)]


def _is_library(owner: Any) -> bool:
    name = getattr(owner, "__module__" if isinstance(owner, type) else "__name__", "")
    return str(name).partition(".")[0] in NOT_TRACED


def _cached_in(owner: Any) -> dict[str, Any]:
    return {name: f for name, f in [*vars(owner).items()] if type(f) is CACHED}


def _reaches(start: Any, wanted: set[int]) -> bool:
    """Tell whether an object refers to one of some others, within a few steps."""
    level: list[Any] = [start]
    for _ in range(DEEPEST):
        level = gc.get_referents(*level)
        if any(id(o) in wanted for o in level):
            return True
        level = [o for o in level if not hasattr(o, "__dict__")]
    return False
