import operator

import torch
import torchvision
from torch.nn import functional as F

from skjointprune._function_rules import FUNCTION_RULES


def test_names_of_functions_are_those_of_functions():
    homes = (torch, F, torch.Tensor, operator, torchvision.ops, torch._C._linalg)
    for name in FUNCTION_RULES:
        found = [h for h in homes for n in (name, f"{name}_") if hasattr(h, n)]
        assert found, name
