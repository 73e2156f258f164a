"""Errors of code that cannot be followed: what was seen, where, and what to write."""

import contextlib
import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType

import numpy as np
import torch
from torch import nn
from torch.fx.proxy import TraceError

HERE = Path(__file__).parent
# The code in these folders is not the user's.
LIBRARIES = (Path(torch.__file__).parent, Path(np.__file__).parent, HERE.parent)
NOT_OF_USERS = (
    contextlib.__file__,
    *(f"{folder}{os.sep}" for folder in LIBRARIES),
    "<frozen",
    "<eval",
    "<s",
)
TRACE = str(HERE / "trace.py")  # what calls this does not belong to the module
# What to do about code that torch compiles, by what the error says.
COMPILED = {
    "dynamo-optimized": "Fit the layer as it is, and compile `module_` afterwards.",
    "Cast error details": "Call the function itself, without `torch.jit.script`.",
}
ANY_REMEDY = (
    "Write this in functions of torch, or register a rule for the layer "
    "(skjointprune.register_rule)."
)


class Refused(TraceError):
    """Code that cannot be followed.

    Parameters
    ----------
    fact, remedy : str
        What the code does, without a full stop, and what to write instead.
    line : str or None
        Where; None to look for it in the traceback.
    """

    def __init__(self, fact: str, remedy: str, line: str | None = None):
        super().__init__(fact)
        self.remedy, self.line = remedy, line


def explain(error: Exception) -> tuple[str, str]:
    """Return what an error says has happened, and the remedy that fits."""
    if isinstance(error, Refused):
        return str(error), error.remedy
    fact = first_line(error)
    if "modified by an inplace operation" in fact:
        fact = "a tensor is changed in place that its gradient is computed of"
        return fact, "Change a copy, as `x = x.clone()` is."
    remedies = [remedy for what, remedy in COMPILED.items() if what in str(error)]
    if "Proxy" in fact:
        fact = f"{type(error).__name__}: a function takes no traced tensor or size"
        remedies += [ANY_REMEDY.replace("in functions", "in other functions")]
    elif not isinstance(error, TraceError | ValueError):
        fact = f"{type(error).__name__}: {fact}"
    return fact, remedies[0] if remedies else ANY_REMEDY


@contextmanager
def explaining(module: nn.Module) -> Iterator[None]:
    """Turn errors that do not explain themselves into a ValueError that does."""
    try:
        yield
    except ValueError:
        raise
    except Exception as error:
        fact, remedy = explain(error)
        raise ValueError(
            f"`module` {type(module).__name__} could not be followed "
            f"({fact}){at_line(line_of(error))}. {remedy}"
        ) from error


@contextmanager
def naming_the_line(what: str, line: str | None) -> Iterator[None]:
    """Let an error while labels go through a function say which line calls it."""
    try:
        yield
    except Exception as error:
        raise ValueError(
            f"What {what} does{at_line(line)}, could not be followed "
            f"({type(error).__name__}: {first_line(error)}). {ANY_REMEDY}"
        ) from error


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, or its type."""
    return str(error).partition("\n")[0] or type(error).__name__


def line_of(error: BaseException) -> str | None:
    """Return the innermost line of the user's code that an error went through."""
    if isinstance(error, Refused) and error.line:
        return error.line
    found, step = None, error.__traceback__
    while step is not None:
        found = _line(step) or found
        step = step.tb_next
    return found


def line_now() -> str | None:
    """Return the innermost line of the user's code that is being run."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename != TRACE:
        if found := _line(frame):
            return found
        frame = frame.f_back
    return None


def line_of_class(module: nn.Module, name: str) -> str | None:
    """Return where the user's class is defined that holds a layer, or is its own."""
    while True:
        kind = type(module.get_submodule(name))
        try:
            file, line = inspect.getsourcefile(kind), inspect.getsourcelines(kind)[1]
        except (OSError, TypeError):  # of no file
            file, line = None, 0
        if file and not file.startswith(NOT_OF_USERS):
            return f"{file}:{line}"
        if not name:
            return None
        name = name.rpartition(".")[0]


def _line(at: FrameType | TracebackType) -> str | None:
    """Return file and line, None for code of libraries or of no file."""
    frame = at if isinstance(at, FrameType) else at.tb_frame
    number = at.f_lineno if isinstance(at, FrameType) else at.tb_lineno
    file = frame.f_code.co_filename
    if file.startswith(NOT_OF_USERS):
        return None
    return f"{file}:{number}"


def at_line(line: str | None) -> str:
    """Return a part of a sentence that names a line, if it is known."""
    return f", at {line}" if line else ""
