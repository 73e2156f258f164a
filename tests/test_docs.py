"""What the README and the documents say must exist."""

import re
from pathlib import Path

import pytest
import torch

import skjointprune

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "page",
    ["README.md", "docs/method.md", "docs/benchmarks.md", "docs/add-a-penalty.md"],
)
def test_links_inside_the_repository_lead_somewhere(page):
    page = ROOT / page
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_commands_name_files_that_are_there():
    pages = [ROOT / "README.md", *ROOT.glob("docs/*.md")]
    named = {
        path
        for page in pages
        for path in re.findall(r"examples/[\w/]+\.py", page.read_text())
    }
    assert "examples/plot_digits.py" in named
    assert [path for path in named if not (ROOT / path).is_file()] == []


def test_public_names_are_documented_with_an_example():
    for name in skjointprune.__all__:
        thing = getattr(skjointprune, name)
        if hasattr(thing, "fit") or name == "joint_prune_path":
            assert all(part in thing.__doc__ for part in ("Parameters\n", ">>> "))


@pytest.fixture(scope="module")
def penalty_page():
    """What the page on penalties defines when its code is run from top to bottom."""
    text = (ROOT / "docs" / "add-a-penalty.md").read_text()
    names = {}
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(block, names)
    return names


def test_penalty_of_the_page_prunes(penalty_page):
    clf = penalty_page["clf"]
    assert 0 < clf.report_.pruned.parameters < clf.report_.dense.parameters / 2
    assert clf.score(penalty_page["X"], penalty_page["y"]) > 0.9


@pytest.mark.parametrize("alpha", [0.1, 0.7])
def test_prox_of_the_page_minimises_its_objective(penalty_page, alpha):
    penalty = penalty_page["GroupMCP"]()
    grid = torch.linspace(0, 4, 4001, dtype=torch.float64)
    for s in torch.linspace(0, 4, 57, dtype=torch.float64):
        objective = (grid - s) ** 2 / 2 + penalty.value(grid, alpha)
        t = penalty.prox(s[None], alpha)
        reached = (t - s) ** 2 / 2 + penalty.value(t, alpha)
        assert float(reached) <= float(objective.min()) + 1e-6
        assert bool(t == 0) == bool(s <= alpha)


def test_penalty_of_the_page_is_about_twenty_lines():
    text = (ROOT / "docs" / "add-a-penalty.md").read_text()
    block = re.search(r"(class GroupMCP.*?)```", text, flags=re.DOTALL).group(1)
    assert len(block.strip().splitlines()) <= 20
