"""What the README and the documents say must exist."""

import re
from pathlib import Path

import pytest

import skjointprune

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("page", ["README.md", "docs/method.md", "docs/benchmarks.md"])
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
    for name in ("JointPruneClassifier", "InputFeatureSelector"):
        doc = getattr(skjointprune, name).__doc__
        assert all(part in doc for part in ("Parameters", "Attributes", ">>> "))
    assert set(skjointprune.__all__) <= set(dir(skjointprune))
