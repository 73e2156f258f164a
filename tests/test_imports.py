"""Who may import whom, and what `import skjointprune` brings along."""

import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parents[1]


def test_wings_import_as_the_contracts_say(capsys):
    assert lint_imports(str(ROOT / "pyproject.toml"), no_cache=True) == 0
    assert "0 broken" in capsys.readouterr().out


def modules_after(statement):
    """Return the modules that a fresh interpreter has after a statement."""
    code = f"{statement}; import sys; print(*sys.modules)"
    out = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    return set(out.stdout.split())


@pytest.fixture(scope="module")
def brought_along():
    """Modules that `import skjointprune` adds to those it cannot do without."""
    needed = modules_after("import torch, sklearn, skorch")
    return modules_after("import skjointprune") - needed


@pytest.mark.parametrize(
    "name",
    [
        "matplotlib",
        "onnx",
        "safetensors",
        "sympy",
        "torch._dynamo",
        "torch._inductor",
        "torch.distributed",
        "torch.onnx",
        "torchvision",
        "triton",
    ],
)
def test_import_leaves_what_is_large_to_whoever_uses_it(brought_along, name):
    assert [m for m in brought_along if f"{m}.".startswith(f"{name}.")] == []


def test_import_adds_parts_of_scikit_learn_and_skorch_alone(brought_along):
    packages = {module.partition(".")[0] for module in brought_along}
    packages -= sys.stdlib_module_names | {
        "_loss"
    }  # a compiled part of scikit-learn 1.6
    assert packages == {"skjointprune", "sklearn", "skorch"}
