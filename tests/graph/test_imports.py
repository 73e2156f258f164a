import subprocess
import sys
from pathlib import Path

import pytest

import skjointprune

ROOT = Path(skjointprune.__file__).parent
FORBIDDEN = {
    "_layers": ["_graph"],
    "modules": ["_graph"],
    "_graph": ["_pruning", "_training", "_data", "_estimators", "_files"],
}

# Without `skjointprune/__init__.py`, which imports all wings.
IMPORTED = """
import sys, types
package = types.ModuleType("skjointprune")
package.__path__ = [sys.argv[1]]
sys.modules["skjointprune"] = package
import torch, torch.fx
before = set(sys.modules)
from importlib import import_module
for name in sys.argv[2:]:
    import_module(name)
print(*set(sys.modules) - before)
"""


def names_of_modules(wing):
    paths = (ROOT / wing).rglob("*.py")
    parts = [p.relative_to(ROOT.parent).with_suffix("").parts for p in paths]
    return [".".join(p).removesuffix(".__init__") for p in parts]


@pytest.mark.parametrize("wing", FORBIDDEN)
def test_a_wing_that_traces_and_prunes_loads_little_beside_torch(wing):
    command = [sys.executable, "-c", IMPORTED, str(ROOT), *names_of_modules(wing)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert set(names_of_modules(wing)) <= set(loaded)
    heavy = ["sklearn", "skorch", "torchvision", "torch._dynamo", "sympy", "matplotlib"]
    for name in heavy + [f"skjointprune.{other}" for other in FORBIDDEN[wing]]:
        assert [n for n in loaded if n == name or n.startswith(f"{name}.")] == []
