"""What is promised of the package: its dependencies, and where they are checked."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RUN = (ROOT / ".ci/run").read_text()
WORKFLOW = (ROOT / ".github/workflows/ci.yml").read_text()
PYTHONS = [
    name.rpartition(" ")[2]
    for name in PROJECT["classifiers"]
    if re.search(r"Python :: 3\.", name)
]


@pytest.mark.parametrize("needed", PROJECT["dependencies"])
def test_each_dependency_has_a_lowest_version_and_no_highest(needed):
    assert re.fullmatch(r"[a-z-]+>=[\d.]+", needed)


def test_workflow_runs_on_each_python_and_on_the_lowest_versions():
    (matrix,) = re.findall(r"python: \[(.*)\]", WORKFLOW)
    assert re.findall(r'"(.*?)"', matrix) == PYTHONS
    (lowest,) = re.findall(r'python-version: "(.*)"\n.*--lowest', WORKFLOW)
    assert f">={lowest}" == PROJECT["requires-python"] and lowest == PYTHONS[0]


@pytest.mark.parametrize("tool", ["ruff check", "ruff format", "mypy", "lint-imports"])
def test_tools_before_a_commit_are_those_before_a_change_lands(tool):
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    assert f"entry: .venv/bin/{tool}" in hooks
    assert f"\n.venv/bin/{tool}" in RUN


def test_annotations_are_for_others_too():
    assert (ROOT / "skjointprune/py.typed").is_file()
