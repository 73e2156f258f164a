import operator
from copy import deepcopy

import pytest
import torch
import torchvision
from _networks import Net, assert_cuts_are_exact
from torch import nn
from torch.export import Dim
from torch.nn import functional as F

from skjointprune import JointPruneClassifier
from skjointprune._graph.groups import find_groups
from skjointprune._graph.rules.functions import FUNCTION_RULES


def test_names_of_functions_are_those_of_functions():
    homes = (torch, F, torch.Tensor, operator, torchvision.ops)
    homes += (torch._C._linalg, torch._C._fft)
    for name in FUNCTION_RULES:
        found = [h for h in homes for n in (name, f"{name}_") if hasattr(h, n)]
        assert found, name


def exported():
    layers = [
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 6, 3, bias=False),
        nn.Hardtanh(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(6, 2),
    ]
    rows, any_number = torch.zeros(2, 3, 8, 9), ({0: Dim.DYNAMIC},)
    module = nn.Sequential(*layers).eval()
    program = torch.export.export(module, (rows,), dynamic_shapes=any_number)
    return deepcopy(program.module())  # the copy takes `eval()`, as `fit` does


def test_what_torch_exports_is_pruned_like_what_it_was(pictures):
    assert_cuts_are_exact(exported, (3, 8, 9))
    found = {c.name: c.size for c in find_groups(exported(), (3, 8, 9)).channels}
    assert found == {"inputs": 3, "0": 8, "4": 6}
    clf = JointPruneClassifier(
        module=exported(), prune="weights", alpha=0.1, max_epochs=5, retrain_epochs=5,
        lr=0.01, random_state=0,
    ).fit(*pictures)  # fmt: skip
    assert clf.report_.parameters_ratio < 0.8


OWN = torch.library.Library("skjointprune_tests", "DEF")
OWN.define("maximum(Tensor x, Tensor y) -> Tensor")
OWN.define("linear(Tensor x, Tensor weight) -> Tensor")
OWN.impl("maximum", lambda x, y: x.cumsum(1) + y, "CompositeImplicitAutograd")
OWN.impl("linear", torch.matmul, "CompositeImplicitAutograd")


@pytest.mark.parametrize(
    ("own", "sizes"),
    [
        (torch.ops.skjointprune_tests.maximum, [8]),
        (torch.ops.skjointprune_tests.maximum.default, [8]),
        (torch.ops.skjointprune_tests.linear, [8, 8]),
        (torch.ops.skjointprune_tests.linear.default, [8, 8]),
    ],
)
def test_an_operator_of_ones_own_has_no_rule_whatever_its_name(own, sizes):
    layers = {"a": nn.Linear(6, 8), "b": nn.Linear(8, 2)}
    p = nn.Parameter(torch.ones(sizes))
    module = Net(lambda m, x: m.b(own(m.a(x), m.p)), p=p, **layers)
    assert "there is no rule for" in find_groups(module, (6,)).kept_whole["a"]
