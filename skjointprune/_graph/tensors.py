"""Tensors of a module by their names in `state_dict`, and the layers that hold them."""

from torch import Tensor, nn

# Methods and functions that ask a tensor what does not depend on its numbers.
QUESTIONS = (
    "size",
    "numel",
    "dim",
    "ndimension",
    "is_floating_point",
    "get_device",
    len,
)


def locate_tensor(module: nn.Module, tensor: str) -> tuple[nn.Module, str]:
    """Return the layer that holds a named tensor, and the tensor's name in it."""
    path, _, attribute = tensor.rpartition(".")
    return module.get_submodule(path), attribute


def get_tensor(module: nn.Module, tensor: str) -> Tensor:
    """Return a parameter or buffer by its name in `state_dict`."""
    layer, attribute = locate_tensor(module, tensor)
    return getattr(layer, attribute)


def names_of_tensors(module: nn.Module) -> dict[str, list[str]]:
    """Return all the names of each parameter and buffer: of one that is shared, many.

    Modules that are used under several names are met once.
    """
    by_identity: dict[int, list[str]] = {}
    for path, layer in module.named_modules():
        held = [
            *layer.named_parameters(path, recurse=False, remove_duplicate=False),
            *layer.named_buffers(path, recurse=False, remove_duplicate=False),
        ]
        for name, tensor in held:
            by_identity.setdefault(id(tensor), []).append(name)
    return {name: names for names in by_identity.values() for name in names}


def layers_by_parameter(module: nn.Module) -> dict[int, list[nn.Module]]:
    """Return the layers that have a parameter, by its id: of a shared one, several."""
    found: dict[int, list[nn.Module]] = {}
    for layer in module.modules():
        for p in layer.parameters(recurse=False):
            found.setdefault(id(p), []).append(layer)
    return found
