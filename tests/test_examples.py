"""The examples of the gallery: the build of the site runs them, this reads them."""

import ast
import re
from pathlib import Path

import pytest

import skjointprune

EXAMPLES = Path(__file__).parents[1] / "examples"
PLOTS = sorted(EXAMPLES.glob("plot_*.py"))
each_plot = pytest.mark.parametrize("path", PLOTS, ids=lambda path: path.stem)


def test_there_are_at_least_eight():
    assert len(PLOTS) >= 8


@each_plot
def test_example_begins_with_a_title_and_a_story(path):
    title, line, blank, *story = ast.get_docstring(ast.parse(path.read_text())).split(
        "\n"
    )
    assert re.fullmatch("=+", line)
    assert len(line) == len(title)
    assert blank == ""
    assert len(story) >= 2


@each_plot
def test_example_has_cells_and_ends_with_a_picture(path):
    text = path.read_text()
    assert text.count("# %%") >= 2
    assert "fig" in text.rpartition("# %%")[2]


@each_plot
def test_example_imports_public_names_only(path):
    names = [
        (node.module, alias.name)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module.startswith("skjointprune")
        for alias in node.names
    ]
    assert names
    for module, name in names:
        assert "._" not in module
        if module == "skjointprune":
            assert name in skjointprune.__all__


@each_plot
def test_example_needs_no_download(path):
    assert not re.search(r"\bfetch_|urlopen|requests|download", path.read_text())
