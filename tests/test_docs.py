"""What the README and the documents say must exist."""

import ast
import doctest
import importlib
import importlib.util
import inspect
import re
import tomllib
from functools import partial
from pathlib import Path

import pytest
import torch
from _helpers import assert_prox_minimises
from _networks import assert_cuts_are_exact
from sklearn.base import clone
from torch import nn

import skjointprune
from skjointprune import (
    JointPruneClassifier,
    JointPruneCV,
    JointPruneRegressor,
)
from skjointprune._data import kinds
from skjointprune._data.inputs import Inputs
from skjointprune._graph.groups import find_groups
from skjointprune._graph.rules.context import RuleContext
from skjointprune._layers.stand_ins import with_prunable_layers

ROOT = Path(__file__).parents[1]


PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
PAGES = [p for p in PAGES if not {"_build", "auto_examples", "generated"} & {*p.parts}]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_inside_the_repository_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_commands_name_files_that_are_there():
    named = {
        path
        for page in PAGES
        for path in re.findall(r"examples/[\w/]+\.py", page.read_text())
    }
    assert "examples/plot_digits.py" in named
    assert [path for path in named if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize("name", skjointprune.__all__)
def test_public_names_are_documented_with_an_example(name):
    doc = getattr(skjointprune, name).__doc__
    assert "Parameters\n" in doc or "Attributes\n" in doc
    made_by = re.search(r"what `(\w+)` returns", doc)  # and shown there
    if made_by:
        doc = getattr(skjointprune, made_by[1]).__doc__
    assert ">>> " in doc


SESSIONS = [
    page for page in PAGES if page.stem != "README" and ">>> " in page.read_text()
]


def test_the_guide_has_sessions():
    assert {"start", "three-steps", "groups-and-costs", "images"} <= {
        page.stem for page in SESSIONS
    }


@pytest.mark.parametrize("page", SESSIONS, ids=lambda page: page.stem)
@pytest.mark.filterwarnings("ignore:`alpha`")  # fits are too short for what is asked
def test_session_of_a_page_says_what_it_prints(page):
    text = re.sub(r"^```.*$", "", page.read_text(), flags=re.MULTILINE)
    test = doctest.DocTestParser().get_doctest(text, {}, page.stem, str(page), 0)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
    said: list[str] = []
    runner.run(test, out=said.append)
    assert runner.failures == 0, "".join(said)


def test_session_of_the_readme_gives_about_what_it_prints():
    text = (ROOT / "README.md").read_text()
    examples = doctest.DocTestParser().get_examples(re.sub("```.*", "", text))
    names: dict = {}
    for example in examples:
        try:
            got = eval(example.source, names)
        except SyntaxError:
            exec(example.source, names)
        else:
            if isinstance(got, float):  # another machine may differ in a few rows
                assert got == pytest.approx(float(example.want), abs=0.02)
    report = names["clf"].report_
    told = re.search(r"^parameters .* ([\d.]+)%$", text, flags=re.MULTILINE)
    assert report.parameters_ratio == pytest.approx(float(told[1]) / 100, abs=0.03)
    assert names["clf"].get_support().sum() == 20


def test_the_readme_requires_what_the_package_requires():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    readme = (ROOT / "README.md").read_text()
    text = re.search(r"^Requires (.*?)\.\n", readme, flags=re.M | re.S)
    told = re.findall(r"`(.*?)`", text[1])
    assert sorted(told) == sorted(project["dependencies"])
    assert f"Python {project['requires-python'][2:]} or later" in text[1]


def documented_names():
    text = (ROOT / "docs" / "api.rst").read_text()
    names = set()
    for module, body in re.findall(
        r"currentmodule:: (\S+)\n(.*?)(?=\.\. currentmodule|\Z)", text, flags=re.DOTALL
    ):
        for block in re.findall(r":toctree:.*\n\n((?: {3}\w+\n)+)", body):
            names |= {f"{module}.{name}" for name in block.split()}
        names |= {f"{module}.{name}" for name in re.findall(r"data:: (\w+)", body)}
    return names


@pytest.mark.parametrize("module", ["", ".modules", ".datasets", ".penalties"])
def test_every_public_name_is_on_the_api_page(module):
    module = f"skjointprune{module}"
    public = importlib.import_module(module).__all__
    documented = {n for n in documented_names() if n.rpartition(".")[0] == module}
    assert documented == {f"{module}.{name}" for name in public}


@pytest.fixture
def check_links():
    spec = importlib.util.spec_from_file_location("c", ROOT / "docs/check_links.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_link_check_names_links_that_lead_nowhere(check_links, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.html").write_text(
        '<a href="sub/b.html#here">1</a> <a href="sub/b.html#gone">2</a>'
        '<img src="c.png"> <a href="https://example.org/x">3</a> <a href="#top">4</a>'
    )
    (tmp_path / "sub" / "b.html").write_text('<p id="here"></p><a href="../a.html">')
    assert check_links.broken_links(tmp_path) == [
        "a.html: #top",
        "a.html: c.png",
        "a.html: sub/b.html#gone",
    ]


WINGS = sorted(p.parent for p in (ROOT / "skjointprune").glob("*/**/__init__.py"))


@pytest.mark.parametrize("wing", WINGS, ids=lambda wing: wing.name)
def test_each_folder_says_what_lives_there_what_comes_in_and_what_goes_out(wing):
    said = ast.get_docstring(ast.parse((wing / "__init__.py").read_text()))
    assert re.search(r"^In goe?s? .*; out comes? ", said, flags=re.M | re.S)
    assert len(said.splitlines()[0]) > 20


def follow(page):
    """Return what a page defines when its code is run from top to bottom."""
    names = {}
    text = (ROOT / "docs" / page).read_text()
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(block, names)
    return names


@pytest.fixture(scope="module")
def penalty_page():
    return follow("add-a-penalty.md")


@pytest.fixture(scope="module")
def layer_page():
    return follow("add-a-layer.md")


@pytest.fixture(scope="module")
def input_page():
    before = kinds.KINDS
    yield follow("add-a-kind-of-input.md")
    kinds.KINDS = before


def test_penalty_of_the_page_prunes(penalty_page):
    clf = penalty_page["clf"]
    assert 0 < clf.report_.pruned.parameters < clf.report_.dense.parameters / 2
    assert clf.score(penalty_page["X"], penalty_page["y"]) > 0.9


@pytest.mark.parametrize("alpha", [0.1, 0.7])
def test_prox_of_the_page_minimises_its_objective(penalty_page, alpha):
    assert_prox_minimises(penalty_page["GroupMCP"](), alpha)


def test_penalty_of_the_page_is_about_twenty_lines():
    text = (ROOT / "docs" / "add-a-penalty.md").read_text()
    block = re.search(r"(class GroupMCP.*?)```", text, flags=re.DOTALL).group(1)
    assert len(block.strip().splitlines()) <= 20


def test_layer_of_the_page_is_pruned(layer_page):
    clf = layer_page["clf"]
    pruned, dense = clf.report_.pruned, clf.report_.dense
    assert clf.report_.kept_whole == {}
    assert pruned.parameters < dense.parameters / 2
    assert sum(pruned.units.values()) < sum(dense.units.values())
    assert clf.score(layer_page["X"], layer_page["y"]) > 0.9
    layer = clf.module_.network[0]
    assert layer.weight.shape == (2 * layer.n_units, len(clf.get_feature_names_out()))


def test_rule_of_the_page_is_exact(layer_page):
    assert_cuts_are_exact(partial(layer_page["stack"], 6, 2), (6,))


def test_tokens_of_the_page_lose_channels(layer_page):
    def make():
        tokens = layer_page["Tokenizer"](6, 8)
        mean = [nn.LayerNorm(8), nn.Linear(8, 5), nn.Flatten(), nn.Linear(30, 2)]
        return with_prunable_layers(nn.Sequential(tokens, *mean))

    network = find_groups(make(), (6,))
    assert network.kept_whole == {"inputs": "each is a token"}
    assert [c.size for c in network.hidden] == [8, 5]
    assert_cuts_are_exact(make, (6,))


def test_function_of_the_page_is_pruned_exactly(layer_page):
    class Median(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens, self.head = nn.Linear(6, 8), nn.Linear(8, 2)

        def forward(self, x):
            return self.head(torch.quantile(self.tokens(x), 0.5, dim=1))

    assert "quantile" in find_groups(Median(), (5, 6)).kept_whole["tokens"]
    with layer_page["register_rule"](torch.quantile, layer_page["quantile"]):
        network = find_groups(Median(), (5, 6))
        assert {c.name: c.pinned or c.size for c in network.channels} == {
            "inputs": 6,
            "tokens": 8,
        }
        assert_cuts_are_exact(Median, (5, 6))


def test_rule_of_the_page_is_about_ten_lines():
    text = (ROOT / "docs" / "add-a-layer.md").read_text()
    block = re.search(r"(def gated_linear.*?)```", text, flags=re.DOTALL).group(1)
    assert len(block.strip().splitlines()) <= 12


def test_the_page_on_layers_tells_all_that_a_rule_can_say():
    text = (ROOT / "docs" / "add-a-layer.md").read_text()
    told = re.findall(r"^\| `(\w+)\((.*?)\)`", text, flags=re.MULTILINE)
    assert len(told) == 9
    for name, said in told:
        parameters = inspect.signature(getattr(RuleContext, name)).parameters
        named = [part.split("=")[0] for part in said.split(", ")]
        assert list(parameters)[1 : len(named) + 1] == named


def test_kind_of_the_page_finds_the_words_that_tell(input_page):
    clf, texts = input_page["clf"], input_page["texts"]
    assert set(clf.get_feature_names_out()) == {"clever", "moving", "dull", "silly"}
    assert clf.score(texts, input_page["praised"]) > 0.95
    without = [re.sub("film|story|actors|music|plot|scenes|end", "", t) for t in texts]
    assert (clf.predict_proba(without) == clf.predict_proba(texts)).all()


def test_kind_of_the_page_is_cross_validated(input_page):
    clf = clone(input_page["clf"]).set_params(n_features_to_select=None)
    cv = JointPruneCV(clf, n_alphas=3, cv=2)
    cv.fit(input_page["texts"], input_page["praised"])
    assert len(cv.get_feature_names_out()) == cv.get_support().sum()


def questions_of_the_page_on_inputs():
    text = (ROOT / "docs" / "add-a-kind-of-input.md").read_text()
    told = re.findall(r"^\| (?:`(\w+)\((.*?)\)`|\*(.+)\*)", text, flags=re.M)
    parts: dict[str, dict[str, list[str]]] = {}
    for name, parameters, part in told:
        if part:
            parts[part] = {}
        else:
            parts[list(parts)[-1]][name] = parameters.split(", ") if parameters else []
    return parts


def test_the_page_on_inputs_tells_all_that_a_kind_is_asked():
    parts = questions_of_the_page_on_inputs()
    told = {name: said for part in parts.values() for name, said in part.items()}
    asked = {name for name, value in vars(Inputs).items() if name[0] != "_"}
    assert told.keys() == {name for name in asked if callable(getattr(Inputs, name))}
    for name, said in told.items():
        parameters = inspect.signature(getattr(Inputs, name)).parameters
        assert [p for p in parameters if p != "self"] == said


def test_a_kind_is_asked_in_the_order_of_the_page(input_page, monkeypatch):
    kind = input_page["TextInputs"]
    parts = questions_of_the_page_on_inputs()
    # what makes data asks the kind to prepare them
    names = [name for part in parts.values() for name in part if name != "make_data"]
    order: list[str] = []
    depth = 0

    def spy(name):
        found = inspect.getattr_static(kind, name)
        function = getattr(found, "__func__", found)

        def asked(*args, **kwargs):
            nonlocal depth
            if not depth and name not in order:  # not asked by the kind itself
                order.append(name)
            depth += 1
            try:
                return function(*args, **kwargs)
            finally:
                depth -= 1

        return type(found)(asked) if function is not found else asked

    spied = type("Spied", (kind,), {name: spy(name) for name in names})
    monkeypatch.setattr(kinds, "KINDS", (spied, *kinds.KINDS))
    texts, praised = input_page["texts"], input_page["praised"]
    clf = clone(input_page["clf"]).set_params(max_epochs=3, retrain_epochs=1)
    clf.fit(texts, praised).predict(texts)
    clf.get_feature_names_out()
    clf.get_group_support()
    elsewhere = parts.pop("elsewhere")
    assert order == [name for name in names if name not in elsewhere]
    assert not elsewhere.keys() & set(order)


def sections(estimator):
    """The text of each parameter in a docstring, and its default in the signature."""
    doc = inspect.getdoc(estimator)
    start = doc.index("Parameters\n---")
    text = doc[start : re.compile(r"\n\w.*\n---").search(doc, start + 20).start()]
    found = re.findall(r"^(\w+) : (.*(?:\n(?: .*)?$)*)", text, flags=re.MULTILINE)
    defaults = inspect.signature(estimator).parameters
    return {name: (said.strip(), defaults[name].default) for name, said in found}


def test_parameters_that_estimators_share_are_documented_alike():
    classifier, regressor = JointPruneClassifier, JointPruneRegressor
    differ = {"validation_fraction", "standardize", "module"}  # classes and targets
    a, b = sections(classifier), sections(regressor)
    shared = (a.keys() & b.keys()) - differ
    assert len(shared) >= 15
    assert {name: a[name] for name in shared} == {name: b[name] for name in shared}


@pytest.mark.parametrize(
    "name",
    [
        "JointPruneClassifier",
        "JointPruneRegressor",
        "JointPruneCV",
        "ImageInput",
        "InputFeatureSelector",
    ],
)
def test_docstrings_say_the_defaults_of_the_signature(name):
    estimator = getattr(skjointprune, name)
    defaults = inspect.signature(estimator).parameters
    told = sections(estimator)
    assert told.keys() == defaults.keys()
    for parameter, (said, default) in told.items():
        default_said = re.search(r"default=(\(.*?\)|[^\s]+)$", said, flags=re.M)[1]
        assert ast.literal_eval(default_said) == default, parameter
