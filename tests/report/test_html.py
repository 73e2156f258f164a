import dataclasses
import re
from html.parser import HTMLParser

import pytest
from sklearn import config_context
from sklearn.feature_selection import SelectKBest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skjointprune import InputFeatureSelector, JointPruneClassifier


class Page(HTMLParser):
    """The tags that are open where a page ends, its text, and the tags it uses."""

    void = ("meta", "link", "input", "br", "hr", "img", "path", "svg")

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.words = [], set(), []
        self.feed(html)
        self.close()
        self.text = " ".join(self.words)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.void:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)


@pytest.fixture
def report(joint):
    return joint.report_


def renamed(report, names):
    """Return a report with as many layers as there are names, all alike."""

    def rename(size, units):
        return dataclasses.replace(size, units=dict.fromkeys(names, units))

    return dataclasses.replace(
        report, dense=rename(report.dense, 64), pruned=rename(report.pruned, 16)
    )


def test_report_is_a_table_of_all_sizes_and_scores(report):
    page = Page(report._repr_html_())
    assert page.open == []
    for size in (report.dense, report.pruned):
        for number in (size.inputs, *size.units.values(), size.parameters, size.macs):
            assert f"{number:,}" in page.words
    for score in report.scores.values():
        assert f"{score:.4f}" in page.text
    assert "held-out accuracy" in page.words and "linear1" in page.text


def test_report_without_scores_says_nothing_of_them(report):
    without = dataclasses.replace(report, scores=dict.fromkeys(report.scores))
    text = Page(without._repr_html_()).text
    assert "held-out" not in text and "None" not in text


def test_report_says_how_much_folds_overlap_where_there_were_folds(report):
    folds = dataclasses.replace(report, jaccard=0.375)
    assert "folds: Jaccard overlap 0.38" in Page(folds._repr_html_()).text
    assert "Jaccard" not in Page(report._repr_html_()).text


def test_names_of_users_are_escaped(report):
    evil = renamed(report, ["<script>alert(1)</script>"])
    evil = dataclasses.replace(evil, kept_whole={"<img src=x>": "a & <b>b</b>"})
    page = Page(evil._repr_html_())
    assert not page.tags & {"script", "img", "b"}
    assert "units of <script>alert(1)</script>" in page.text
    assert "<img src=x>: a & <b>b</b>" in page.text


def test_layers_are_folded_away_where_there_are_many(report):
    few, many = renamed(report, "ab"), renamed(report, [str(i) for i in range(17)])
    assert "details" not in Page(few._repr_html_()).tags
    page = Page(many._repr_html_())
    assert "details" in page.tags and page.open == []
    assert "units of 17 layers" in page.words and "units of 16" in page.words
    assert f"{17 * 64:,}" in page.words and f"{17 * 16:,}" in page.words


def test_bars_are_never_wider_than_their_box(report):
    more = dataclasses.replace(report.pruned, parameters=2 * report.dense.parameters)
    html = dataclasses.replace(report, pruned=more)._repr_html_()
    assert "200.0%" in Page(html).words
    assert "width:200.0%" not in html and "width:100.0%" in html


def test_colours_are_those_of_the_page_or_shades_between(report):
    style = report._repr_html_()
    assert set(re.findall(r"(?<!-)color: ([^;]+);", style)) == {"inherit"}
    shades = {
        re.sub(r"^rgba\(128, 128, 128, 0\.\d+\)$", "grey", found)
        for found in re.findall(r"background: ([^;]+);", style)
    }
    assert shades == {"none", "grey", "#3b8fc7"}


def diagram_of(estimator):
    return estimator._repr_mimebundle_()["text/html"]


def test_fitted_estimator_shows_its_report_below_the_diagram(joint):
    for html in (diagram_of(joint), joint._repr_html_()):
        assert "sk-container" in html
        assert html.index("sk-container") < html.rindex(joint.report_._repr_html_())


def test_estimator_that_is_not_fitted_has_a_diagram_alone():
    html = diagram_of(JointPruneClassifier())
    assert "sk-container" in html and "skjointprune" not in html


def test_selector_shows_the_report_of_what_selects(joint, planted):
    selector = InputFeatureSelector(joint, prefit=True)
    assert joint.report_._repr_html_() in diagram_of(selector)  # needs no fit
    assert joint.report_._repr_html_() in diagram_of(selector.fit(*planted))


def test_selector_that_is_not_fitted_has_a_diagram_alone(joint):
    for selector in (
        InputFeatureSelector(joint),
        InputFeatureSelector(JointPruneClassifier(), prefit=True),
        InputFeatureSelector(prefit=True),
        InputFeatureSelector(JointPruneClassifier(), alpha=0.1, prefit=True),
    ):
        assert "Pruning report" not in diagram_of(selector)


def test_selector_of_another_library_has_a_diagram_alone(planted):
    html = diagram_of(InputFeatureSelector(SelectKBest(k=3)).fit(*planted))
    assert "sk-container" in html and "Pruning report" not in html


def test_pipeline_keeps_its_diagram(joint):
    html = diagram_of(make_pipeline(StandardScaler(), joint))
    assert "JointPruneClassifier" in html and "StandardScaler" in html
    assert "Pruning report" not in html


def test_text_display_has_no_html(joint):
    with config_context(display="text"):
        assert list(joint._repr_mimebundle_()) == ["text/plain"]
        assert not hasattr(joint, "_repr_html_")
