"""Attributes that are others for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def replaced(holder: Any, attributes: dict[str, Any]) -> Iterator[None]:
    """Give a module, or another object, other attributes for a while."""
    before = {name: getattr(holder, name) for name in attributes}
    inherited = attributes.keys() - vars(holder).keys()
    try:
        for name, value in attributes.items():
            setattr(holder, name, value)
        yield
    finally:
        for name, value in before.items():
            if name in inherited:
                delattr(holder, name)
            else:
                setattr(holder, name, value)
