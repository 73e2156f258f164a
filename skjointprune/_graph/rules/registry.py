"""Rules of layers and functions: which one each has, and how to register another."""

from collections.abc import Callable

from torch import fx, nn
from torch.nn.utils.parametrize import is_parametrized

from .functions import FUNCTION_RULES, function_name
from .layers import LAYER_RULES, LAYER_RULES_BY_NAME, LayerRule

# The attribute of a class that holds its registered rule: where the class is pickled by
# value, as those of a notebook are for joblib's processes, the rule is pickled with it.
REGISTERED = "_skjointprune_rule"


def layer_rule(layer: nn.Module) -> LayerRule | None:
    """Return the rule of a layer, its own or of the class whose forward it inherits."""
    if is_parametrized(layer):  # its weight is computed anew each time
        return None
    for kind in type(layer).__mro__:
        rule: LayerRule | None = vars(kind).get(REGISTERED, _built_in_rule(kind))
        if rule is not None:
            inherits = getattr(kind, "forward", None) is type(layer).forward
            return rule if inherits else None
    return None


def _built_in_rule(kind: type) -> LayerRule | None:
    """Return the rule that the package has for a class, without its bases."""
    name = f"{kind.__module__}.{kind.__qualname__}"
    return LAYER_RULES.get(kind, LAYER_RULES_BY_NAME.get(name))


def register_rule(layer: type[nn.Module], rule: LayerRule) -> None:
    """Tell how the channels of a kind of layer hang together.

    Parameters
    ----------
    layer : subclass of nn.Module
        Treated as one piece from now on, with subclasses that inherit its forward; a
        rule there was is replaced.
    rule : callable
        Given a layer, its name in the network, the labels of its input (int64, in
        the input's shape, batch first; a tuple of these where it is called on
        several) and the `Labels` to speak to, returns the labels of its output; or
        NotImplemented, to keep whole what is around.

    Raises
    ------
    TypeError
        If `layer` is not a class of module, or `rule` cannot be called.

    Notes
    -----
    Other processes (``n_jobs=2``) know the rule of a class that a notebook, or the
    script that runs, defines. That of a class that they import is to be registered
    where they import it.

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
    >>> def rule(layer, name, x, labels):
    ...     labels.produce(f"{name}.factor", 0, labels.channels(x, -1))
    ...     return x
    >>> register_rule(Scale, rule)
    """
    if not (isinstance(layer, type) and issubclass(layer, nn.Module)):
        raise TypeError(
            f"`layer` must be a class of torch.nn.Module. Got {layer!r}; pass the "
            "class, not an instance."
        )
    if not callable(rule):
        raise TypeError(
            f"`rule` must be a function of (layer, name, x, labels). Got {rule!r}; "
            "see docs/add-a-layer.md."
        )
    setattr(layer, REGISTERED, rule)


def function_rule(node: fx.Node) -> Callable | None:
    """Return the rule of a function or method in a traced graph, if there is one."""
    name = function_name(node)
    if name is None:
        return None
    return FUNCTION_RULES.get(name.removesuffix("_"))  # in place or not
