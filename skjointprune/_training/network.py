"""The dense module of a fit, made of what a user passes as `module`."""

from typing import Any

from torch import nn

from .._data.inputs import Inputs
from .._data.targets import Targets
from .._graph.rules.registry import layer_rule
from .._layers.stand_ins import with_prunable_layers
from ..modules import MLP
from ..modules._build import build_module

SIZES = "hidden_layer_sizes"


def module_for(
    inputs: Inputs, targets: Targets, module: Any, hidden_layer_sizes: Any
) -> tuple[Any, dict[str, Any]]:
    """Return what makes the network, with default parameters for it.

    Raises
    ------
    ValueError
        If `module` is for another kind of input.
    """
    module, defaults = inputs.module(
        module, hidden_layer_sizes, regression=targets.are_numbers
    )
    if "embedding" in defaults:
        defaults = defaults | targets.network_defaults
    return module, defaults


def dense_module(
    inputs: Inputs,
    *,
    targets: Targets,
    module: Any,
    hidden_layer_sizes: Any,
    params: dict[str, Any],
) -> nn.Module:
    """Return the network that a fit begins with.

    Parameters
    ----------
    inputs : Inputs
        What X is; it knows the default.
    targets : Targets
        What y is.
    module, hidden_layer_sizes
        As parameters of the estimators.
    params : dict
        The parameters `module__…`, without the prefix.

    Raises
    ------
    ValueError, TypeError
        If no module can be made of these.
    """
    if module is None and SIZES in params:
        raise ValueError(
            f"The layers of the default network are `{SIZES}`. Got "
            f"`module__{SIZES}`={params[SIZES]!r} as well; set `{SIZES}` alone."
        )
    module, defaults = module_for(inputs, targets, module, hidden_layer_sizes)
    sizes = {
        "n_features_in": inputs.network_shape[0],
        "n_outputs": targets.n_outputs,
        "input_shape": inputs.network_shape,
    }
    known = sizes.keys() & params.keys()
    if module is MLP and known:
        name = min(known)
        raise ValueError(
            f"X and y say what `{name}` is. Got `module__{name}`={params[name]!r}; "
            "leave it out."
        )
    network = build_module(module, sizes, defaults | params)
    network = with_prunable_layers(network.float())
    if layer_rule(network) is not None:
        network = nn.Sequential(network)  # torch.fx would look into it
    return network
