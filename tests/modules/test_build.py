from collections import OrderedDict
from functools import partial
from threading import Lock

import pytest
import torch
from torch import nn

from skjointprune.modules import MLP
from skjointprune.modules._build import build_module


def sizes(n_features_in, n_outputs):
    return {
        "n_features_in": n_features_in,
        "n_outputs": n_outputs,
        "input_shape": (n_features_in,),
    }


def test_sizes_are_filled_in_unless_set():
    module = build_module(
        MLP, sizes(4, 2), {"hidden_layer_sizes": (3,), "n_outputs": 5}
    )
    assert module(torch.zeros(2, 4)).shape == (2, 5)


def test_a_factory_without_sizes_is_called_without():
    module = build_module(lambda width: nn.Linear(4, width), sizes(9, 9), {"width": 3})
    assert module.out_features == 3


def test_an_instance_is_copied():
    given = nn.Linear(4, 2)
    built = build_module(given, sizes(4, 2), {})
    assert built is not given
    assert torch.equal(built.weight, given.weight)


def test_a_misspelt_name_is_guessed():
    with pytest.raises(ValueError, match=r"Did you mean module__dropout\?"):
        build_module(MLP, sizes(4, 2), {"droput": 0.1})


def test_a_strange_name_gets_a_list():
    with pytest.raises(ValueError, match="It takes n_features_in, n_outputs"):
        build_module(MLP, sizes(4, 2), {"zzz": 0.1})


def test_an_instance_takes_no_parameters():
    with pytest.raises(ValueError, match="is an instance, so `module__bias`"):
        build_module(nn.Linear(4, 2), sizes(4, 2), {"bias": False})


def test_what_makes_no_module_is_refused():
    with pytest.raises(TypeError, match=r"a class of torch.nn.Module. Got OrderedDict"):
        build_module(OrderedDict, {}, {})
    with pytest.raises(TypeError, match="Got dict"):
        build_module(lambda: {}, sizes(4, 2), {})


def test_a_factory_may_give_the_same_module_each_time():
    given = nn.Linear(4, 2)
    assert build_module(lambda: given, sizes(4, 2), {}) is not given


def test_what_is_needed_and_not_given_is_told():
    with pytest.raises(TypeError, match=r"cannot be called: missing .*'in_features'"):
        build_module(nn.Linear, sizes(4, 2), {})


def test_lazy_layers_learn_their_sizes_in_a_factory_only():
    layers = [nn.LazyLinear(5), nn.LazyBatchNorm1d(), nn.Linear(5, 2)]
    module = nn.Sequential(*layers)
    with pytest.raises(ValueError, match="lazy layers"):
        build_module(module, sizes(4, 2), {})
    assert build_module(lambda: module, sizes(4, 2), {})[0].in_features == 4


@pytest.mark.parametrize(
    "wrap",
    [
        nn.DataParallel,
        partial(torch.compile, backend="eager"),
        lambda module: torch.jit.trace(module, torch.zeros(2, 4)),
    ],
)
@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.filterwarnings("ignore:.*non-leaf Tensor:UserWarning")
def test_wrappers_are_refused(wrap):
    with pytest.raises(ValueError, match="Pass the network itself"):
        build_module(wrap(nn.Linear(4, 2)), sizes(4, 2), {})


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`")
def test_old_norms_of_weights_are_copied():
    module = nn.utils.weight_norm(nn.Linear(4, 2))
    copied = build_module(lambda: module, sizes(4, 2), {})
    assert copied.weight_g is not module.weight_g
    rows = torch.randn(3, 4)
    assert torch.equal(copied(rows), module(rows))


def test_what_lazy_layers_learn_is_their_sizes_alone():
    def make():
        layers = [nn.LazyLinear(5), nn.BatchNorm1d(5), nn.Dropout(), nn.Linear(5, 2)]
        return nn.Sequential(*layers).double()

    module = build_module(make, sizes(4, 2), {})
    assert module[1].num_batches_tracked == 0
    assert module.training
    with pytest.raises(ValueError, match=r"does not run on two rows of shape \(4,\)"):
        build_module(lambda: nn.Sequential(make(), nn.Linear(3, 2)), sizes(4, 2), {})


def test_what_holds_a_lock_is_refused():
    module = nn.Linear(4, 2)
    module.lock = Lock()
    with pytest.raises(ValueError, match="Keep locks"):
        build_module(module, sizes(4, 2), {})
