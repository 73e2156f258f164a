import pytest
import torch
from torch import nn
from torchvision.models.convnext import LayerNorm2d

from skjointprune._layers.attention import MultiheadAttention
from skjointprune._layers.norms import LayerNorm, RMSNorm
from skjointprune._layers.stand_ins import with_prunable_layers
from skjointprune._layers.transformer import TransformerEncoder, TransformerEncoderLayer


def test_layers_are_replaced_at_any_depth():
    module = nn.Sequential(nn.Linear(8, 8), nn.Sequential(nn.LayerNorm(8)))
    assert with_prunable_layers(module) is module
    assert type(module[1][0]) is LayerNorm
    assert type(module[0]) is nn.Linear


def test_the_parameters_stay_with_their_names():
    module = nn.Sequential(nn.LayerNorm(8), nn.RMSNorm(8), LayerNorm2d(8))
    before = dict(module.named_parameters())
    after = dict(with_prunable_layers(module).named_parameters())
    assert before.keys() == after.keys()
    assert all(after[name] is p for name, p in before.items())


def test_a_layer_in_two_places_stays_one():
    norm = nn.RMSNorm(8)
    module = with_prunable_layers(nn.ModuleDict({"a": norm, "b": nn.Sequential(norm)}))
    assert type(module["a"]) is RMSNorm
    assert module["b"][0] is module["a"]


def hooked(layer):
    layer.register_forward_hook(lambda layer, args, out: 2 * out)
    return layer


class OwnNorm(nn.LayerNorm):
    """Does something else."""

    def forward(self, x):
        return super().forward(x) + x


@pytest.mark.parametrize(
    "layer",
    [
        hooked(nn.LayerNorm(8)),
        OwnNorm(8),
        nn.LayerNorm((4, 8)),
        nn.GroupNorm(2, 8),
        nn.MultiheadAttention(8, 2, add_bias_kv=True),
        nn.MultiheadAttention(8, 2, add_zero_attn=True),
        nn.utils.parametrizations.weight_norm(nn.LayerNorm(8), "bias"),
    ],
)
def test_what_may_do_something_else_is_left_alone(layer):
    assert with_prunable_layers(nn.Sequential(layer))[0] is layer


def test_a_layer_under_two_names_is_replaced_under_both():
    module = nn.Module()
    module.a = module.b = nn.LayerNorm(8)
    with_prunable_layers(module)
    assert type(module.a) is LayerNorm
    assert module.a is module.b


def test_layers_within_a_layer_that_is_replaced_are_too():
    layer = nn.TransformerEncoderLayer(8, 2)
    (encoder,) = with_prunable_layers(
        nn.Sequential(nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(8)))
    )
    assert type(encoder) is TransformerEncoder
    assert type(encoder.norm) is LayerNorm
    for layer in encoder.layers:
        assert type(layer) is TransformerEncoderLayer
        assert type(layer.self_attn) is MultiheadAttention
        assert type(layer.norm1) is LayerNorm


def test_mode_and_kind_of_numbers_stay():
    module = nn.Sequential(nn.MultiheadAttention(8, 2), nn.LayerNorm(8)).double().eval()
    attention, norm = with_prunable_layers(module)
    assert type(attention) is MultiheadAttention
    assert not attention.training
    assert not norm.training
    assert all(p.dtype == torch.float64 for p in module.parameters())


class OwnEncoderLayer(nn.TransformerEncoderLayer):
    """Might do something else."""


def test_what_looks_inside_keeps_its_parts():
    layer = OwnEncoderLayer(8, 2)
    (same,) = with_prunable_layers(nn.Sequential(layer))
    assert same is layer
    assert type(layer.self_attn) is nn.MultiheadAttention
    assert type(layer.norm1) is nn.LayerNorm


def test_an_encoder_layer_with_hooks_goes_on_to_run():
    layer = hooked(nn.TransformerEncoderLayer(8, 2, batch_first=True))
    module = with_prunable_layers(nn.Sequential(layer, nn.Flatten())).eval()
    assert module(torch.randn(3, 4, 8)).shape == (3, 32)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.MultiheadAttention(8, 2),
        lambda: nn.MultiheadAttention(8, 2, kdim=5, vdim=6),
        lambda: nn.TransformerEncoderLayer(8, 2),
        lambda: nn.LayerNorm(8),
    ],
)
def test_what_is_frozen_stays_frozen(make):
    module = with_prunable_layers(nn.Sequential(make().requires_grad_(False)))
    assert not any(p.requires_grad for p in module.parameters())
    module = with_prunable_layers(nn.Sequential(make()))
    assert all(p.requires_grad for p in module.parameters())


def test_code_may_ask_a_normalisation_for_its_size():
    norm, group = with_prunable_layers(
        nn.Sequential(nn.LayerNorm(8), nn.GroupNorm(1, 8))
    )
    assert norm.normalized_shape == (8,)
    assert (group.num_groups, group.num_channels) == (1, 8)
