import pytest
import torch
from torch import nn

from skjointprune._graph.tensors import (
    get_tensor,
    layers_by_parameter,
    locate_tensor,
    names_of_tensors,
)


@pytest.fixture
def module():
    """A layer under two names, and a weight that two layers share."""
    inner = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    made = nn.ModuleDict({"a": inner, "b": nn.Linear(3, 3), "again": inner[1]})
    made["b"].weight = inner[0].weight
    return made


def test_a_tensor_is_found_by_its_name(module):
    for name, tensor in module.state_dict(keep_vars=True).items():
        assert get_tensor(module, name) is tensor
        layer, attribute = locate_tensor(module, name)
        assert getattr(layer, attribute) is tensor


def test_a_tensor_of_the_module_itself_is_in_no_path():
    layer = nn.Linear(2, 2)
    assert locate_tensor(layer, "bias") == (layer, "bias")


def test_a_shared_tensor_has_all_its_names(module):
    names = names_of_tensors(module)
    assert names["a.0.weight"] == names["b.weight"] == ["a.0.weight", "b.weight"]
    assert names["b.bias"] == ["b.bias"]
    assert names["a.1.running_var"] == ["a.1.running_var"]
    # a layer under two names is met once, under the first
    assert names.keys() < module.state_dict().keys()
    tensors = {id(t) for t in module.state_dict(keep_vars=True).values()}
    assert {id(get_tensor(module, name)) for name in names} == tensors


def test_a_shared_parameter_is_of_several_layers(module):
    layers = layers_by_parameter(module)
    assert layers[id(module["b"].weight)] == [module["a"][0], module["b"]]
    assert layers[id(module["b"].bias)] == [module["b"]]
    assert len(layers) == len(list(module.parameters()))


def test_tensors_outside_state_dict_are_found_as_well():
    layer = nn.Linear(2, 2)
    layer.register_buffer("own", torch.ones(2), persistent=False)
    assert get_tensor(layer, "own") is layer.own
    assert "own" in names_of_tensors(layer)
