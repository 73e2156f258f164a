"""The benchmark of networks, on ten structures that need no further package."""

import importlib
import json
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "examples" / "benchmarks"


@pytest.fixture
def helper(monkeypatch):
    """Import a module that lies beside the benchmarks."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module


@pytest.fixture
def checked(helper, tmp_path):
    """Check a network without its fit, in this process; return what is found."""

    def check(name):
        path = tmp_path / "findings.json"
        helper("_network_checks").check_network(name, path, fit=False, gigabytes=None)
        return json.loads(path.read_text())

    return check


with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(BENCHMARKS)
    QUICK = importlib.import_module("networks").QUICK


def test_quick_networks_are_ten():
    assert len(set(QUICK)) == 10


@pytest.mark.parametrize("name", QUICK)
def test_structure_is_cut_exactly(checked, name):
    found = checked(name)
    assert found["traced"] is True
    assert found["may_go"] == 1
    for cut in (found["cut_70"], found["cut_30"]):
        assert cut["exact"], cut
        assert cut["gone"] > 0.1
        assert cut["changed"] > 1e-3  # what went did something
    assert found["parameters_may_go"] > 0.9


def test_run_resumes_and_prints_what_is_there(helper, monkeypatch, capsys, tmp_path):
    networks = helper("networks")

    def run(*options):
        argv = ["networks.py", "--results", str(tmp_path / "found"), *options]
        monkeypatch.setattr("sys.argv", argv)
        networks.main()
        return capsys.readouterr()

    asked = []

    def in_this_process(function, name, path, *args, **options):
        asked.append(name)
        function(name, path, False, None)

    monkeypatch.setattr(networks, "run_in_child", in_this_process)
    monkeypatch.setattr(networks, "QUICK", ["gate", "chunk"])
    out = run("--quick").out
    assert sorted(asked) == ["chunk", "gate"]
    assert "| peers | 2 | 2 | 2 | 2 | 2 | 0 | 2 |" in out
    assert "| peers | 4 | 4 | 0 |" in out  # cuts, exact, inexact
    tables = out.partition("## By family")[2]
    # a run that was stopped while it wrote its last line
    lines = (tmp_path / "found").read_text().splitlines(keepends=True)
    (tmp_path / "found").write_text(lines[0] + lines[1][:40] + "\n")
    run("--quick")
    assert len(asked) == 3
    shown = run("--print", "--only", "gate", "chunk").out
    assert len(asked) == 3
    assert shown.partition("## By family")[2].count("\n") == tables.count("\n")


def test_refusal_and_inexact_cut_are_told(helper, capsys):
    report = helper("_network_report")
    refused = {"name": "a", "family": "f", "ended": True, "traced": "ValueError: no"}
    inexact = {
        "name": "b",
        "family": "f",
        "ended": True,
        "traced": True,
        "seconds": 1.0,
        "may_go": 0.5,
        "cut_70": {"exact": False, "difference": 0.1, "gone": 0.3, "changed": 1.0},
        "cut_30": {"exact": True, "difference": 0.0, "gone": 0.0, "changed": 0.0},
        "fit": "RuntimeError: it | fails",
    }
    report.print_report([refused, inexact, refused | {"name": "c"}])
    out = capsys.readouterr().out
    assert "| f | 3 | 1 | 0 | 0 | 1 | 0 | 0 | 1.0 | 1.0 |" in out
    assert "| f | 1 | 0 | 1 | 0 of 1 | 0 | 0 | 0 | 0 |" in out
    assert "- traced: a, c: `ValueError: no`" in out
    assert "- fit: b: `RuntimeError: it / fails`" in out
