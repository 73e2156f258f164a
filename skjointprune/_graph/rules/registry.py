"""Rules of layers and functions: which one each has, and how to register another."""

import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any, Self

from torch import Tensor, fx, nn
from torch.nn.utils.parametrize import is_parametrized

from .functions import FUNCTION_RULES, function_name
from .layers import LAYER_RULES, LAYER_RULES_BY_NAME, LayerRule

FunctionRule = Callable[..., Any]


class RuleHandle:
    """What `register_rule` returns: it takes the rule back.

    As a context manager it does so at the end of the block.
    """

    def __init__(self, layer_or_function: Any, rule: Callable):
        self.layer_or_function, self.rule = layer_or_function, rule

    def remove(self) -> None:
        """Take the rule back: the one that was there before holds again."""
        handles = _handles(self.layer_or_function)
        _keep_handles(self.layer_or_function, [h for h in handles if h is not self])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


# The handles of each class or function, the last of which has the rule that holds. What
# a notebook defines is pickled by value for joblib's processes, so that its handles
# are an attribute: they go with it.
_HANDLES: dict[Any, list[RuleHandle]] = {}
ATTRIBUTE = "_skjointprune_rules"


def _handles(layer_or_function: Any) -> list[RuleHandle]:
    found = _HANDLES.get(layer_or_function)
    if found is None:  # not those of a class that it inherits from
        found = getattr(layer_or_function, "__dict__", {}).get(ATTRIBUTE, [])
    return found


def _registered_rule(layer_or_function: Any) -> Callable | None:
    handles = _handles(layer_or_function)
    return handles[-1].rule if handles else None


def _keep_handles(layer_or_function: Any, handles: list[RuleHandle]) -> None:
    if _is_pickled_by_value(layer_or_function):
        if handles:
            setattr(layer_or_function, ATTRIBUTE, handles)
        elif ATTRIBUTE in vars(layer_or_function):
            delattr(layer_or_function, ATTRIBUTE)
    elif handles:
        _HANDLES[layer_or_function] = handles
    else:
        _HANDLES.pop(layer_or_function, None)


def _is_pickled_by_value(layer_or_function: Any) -> bool:
    """Tell whether no other process can import a class or function of Python."""
    if not isinstance(layer_or_function, type | FunctionType):
        return False
    of_main = layer_or_function.__module__ == "__main__"
    return of_main or "<locals>" in layer_or_function.__qualname__


def has_registered_rule(layer: nn.Module) -> bool:
    """Tell whether a rule was registered for a layer's class, or one that it is of."""
    return any(_handles(kind) for kind in type(layer).__mro__)


def layer_rule(layer: nn.Module) -> LayerRule | None:
    """Return the rule of a layer, its own or of the class whose forward it inherits."""
    if is_parametrized(layer):  # its weight is computed anew each time
        return None
    for kind in type(layer).__mro__:
        name = f"{kind.__module__}.{kind.__qualname__}"
        built_in = LAYER_RULES.get(kind, LAYER_RULES_BY_NAME.get(name))
        rule = _registered_rule(kind) or built_in
        if rule is not None:
            inherits = getattr(kind, "forward", None) is type(layer).forward
            return rule if inherits else None
    return None


def function_rule(node: fx.Node) -> FunctionRule | None:
    """Return the rule of a function or method in a traced graph, if there is one."""
    name = (function_name(node) or "").removesuffix("_")  # in place or not
    return registered_rule(node) or FUNCTION_RULES.get(name)


def registered_rule(node: fx.Node) -> FunctionRule | None:
    """Return the rule that was registered for a function or method in a graph."""
    function: Any = node.target
    if node.op == "call_method":
        function = getattr(Tensor, function, None)
    elif node.op != "call_function":
        return None
    return _registered_rule(function)


def registered_functions(scopes: list[dict[str, Any]]) -> list[FunctionType]:
    """Return functions of Python that have a registered rule, without those of torch.

    What a notebook defines is known where it is among the values of some scopes.
    """
    values = [value for scope in scopes for value in scope.values()]
    found = [
        value
        for value in (*_HANDLES, *values)
        if isinstance(value, FunctionType) and _handles(value)
    ]
    return [f for f in found if (f.__module__ or "").partition(".")[0] != "torch"]


def register_rule(
    layer_or_function: type[nn.Module] | Callable, rule: LayerRule | FunctionRule
) -> RuleHandle:
    """Tell how the channels of a kind of layer, or of a function, hang together.

    Parameters
    ----------
    layer_or_function : subclass of nn.Module, or function
        A layer is treated as one piece from now on, with subclasses that inherit its
        forward. So is a function: one of your own, of torch (`torch.cumsum`) or a
        method of tensors (`torch.Tensor.cumsum`). A rule that it had is replaced.
    rule : callable
        The rule of a layer is called as ``rule(layer, name, x, context)``, with the
        layer's name in the network, the labels of its input (int64, in the input's
        shape, batch first; a tuple of these where it is called on several) and a
        context, which has a call for each thing to be said of parameters. The rule of
        a function is called as ``rule(context, *args, **kwargs)``, with the function's
        arguments, and labels in place of tensors. It returns the labels of the output;
        or NotImplemented, to keep whole what is around.

    Returns
    -------
    RuleHandle
        Its `remove()` takes the rule back, and the one before holds again. As a context
        manager it does so at the end of the block.

    Raises
    ------
    TypeError
        If `layer_or_function` is neither, or `rule` does not take these arguments.

    Notes
    -----
    Other processes (``n_jobs=2``) know the rule of a class or function that a
    notebook, or the script that runs, defines. If they import the class or function,
    register its rule in the module that they import.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from skjointprune import register_rule
    >>> class Scale(nn.Module):
    ...     def __init__(self, n):
    ...         super().__init__()
    ...         self.factor = nn.Parameter(torch.ones(n))
    ...
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> def rule(layer, name, x, context):
    ...     context.produce(f"{name}.factor", 0, context.channels(x, -1))
    ...     return x
    >>> handle = register_rule(Scale, rule)
    >>> handle.remove()
    """
    is_layer = _is_class_of_module(layer_or_function)
    if not is_layer and not _is_function(layer_or_function):
        raise TypeError(
            "`layer_or_function` must be a class of torch.nn.Module, or a function. "
            f"Got {layer_or_function!r}; pass the class, not an instance."
        )
    arguments = ["layer", "name", "x", "context"] if is_layer else ["context"]
    if not _takes(rule, arguments, all_told=is_layer):
        more = "" if is_layer else ", and the function's arguments"
        raise TypeError(
            f"`rule` must be a function of ({', '.join(arguments)}{more}). "
            f"Got {rule!r}; see docs/add-a-layer.md."
        )
    handle = RuleHandle(layer_or_function, rule)
    _keep_handles(layer_or_function, [*_handles(layer_or_function), handle])
    return handle


def _is_class_of_module(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, nn.Module)


def _is_function(value: Any) -> bool:
    return callable(value) and not isinstance(value, type | nn.Module)


def _takes(rule: Any, arguments: list[str], all_told: bool) -> bool:
    """Tell whether a rule takes some arguments, all of its own or the first ones."""
    try:
        signature = inspect.signature(rule)
        bind = signature.bind if all_told else signature.bind_partial
        bind(*arguments)
    except ValueError:  # a function in C does not tell what it takes
        return True
    except TypeError:  # takes others, or cannot be called
        return False
    return True
