import dataclasses
import sys

import pytest
import torch
from torch import nn

from skjointprune import NetworkSize, PruningReport
from skjointprune._graph.groups import find_groups
from skjointprune._layers.attention import MultiheadAttention
from skjointprune.modules._embeddings import NumberEmbedding


@pytest.fixture
def report():
    dense = NetworkSize(inputs=20, units={"linear1": 10}, parameters=1000, macs=800)
    pruned = NetworkSize(inputs=5, units={"linear1": 4}, parameters=100, macs=80)
    scores = {
        "before pruning": 0.91234,
        "after pruning": 0.5,
        "after retraining": 0.9,
    }
    return PruningReport(dense, pruned, scores, {})


def test_flops_are_twice_the_macs(report):
    assert report.dense.flops == 1600
    assert report.pruned.flops == 160


def test_ratios_are_what_is_kept(report):
    assert report.inputs_ratio == 0.25
    assert report.parameters_ratio == 0.1
    assert report.macs_ratio == 0.1


def test_repr_says_what_a_reader_asks(report):
    text = repr(report)
    lines = text.splitlines()
    words = ["inputs", "linear1", "parameters", "MACs", "held-out"]
    for word in words:
        assert any(word in line for line in lines)
    (flops,) = [line for line in lines if "FLOPs" in line]
    assert "2 x MACs" in flops
    assert "1,600" in flops and "160" in flops and "10.0%" in flops
    for score in ("0.912", "before pruning", "after pruning", "after retraining"):
        assert score in text
    assert max(map(len, lines)) <= 100


def test_repr_leaves_out_scores_there_are_not(report):
    scores = dict.fromkeys(report.scores)
    text = repr(dataclasses.replace(report, scores=scores))
    assert "None" not in text
    assert "before pruning" not in text


def test_repr_says_what_was_kept_whole_and_why(report):
    kept = {"linear1": "LayerNorm couples its units"}
    text = repr(dataclasses.replace(report, kept_whole=kept))
    assert "LayerNorm couples its units" in text


def count(layers):
    parameters = sum(p.numel() for layer in layers for p in layer.parameters())
    kinds = nn.Linear | NumberEmbedding
    return parameters, sum(m.weight.numel() for m in layers if isinstance(m, kinds))


def test_pruned_size_is_that_of_the_finished_module(joint):
    size = joint.report_.pruned
    layers = [m for m in joint.module_.modules() if not list(m.children())]
    assert (size.parameters, size.macs) == count(layers)
    assert size.inputs == joint.support_.sum()
    assert size.units == {"linear1": joint.module_.network.linear1.out_features}


def test_dense_size_is_that_of_the_network_asked_for(joint):
    size = joint.report_.dense
    assert size.inputs == 12
    assert size.units == {"linear1": 16}
    embedding = 12 * 16 * 3  # each input becomes itself and three numbers of 16 bins
    assert size.macs == embedding + 4 * 12 * 16 + 16 * 2
    batch_norm = 2 * 16
    factors = 12
    biases = 3 * 12 + 16 + 2
    assert size.parameters == size.macs + biases + batch_norm + factors


def test_sizes_count_every_layer_and_no_bias_where_there_is_none(quick, blobs):
    clf = quick(
        hidden_layer_sizes=(9, 7),
        prune="none",
        standardize=False,  # or its folding adds a bias
        module__bias=False,
        module__norm=None,
        module__embedding=None,
        module__scale_inputs=False,
        max_epochs=1,
        retrain_epochs=1,
    ).fit(*blobs)
    size = clf.report_.pruned
    assert size == clf.report_.dense
    assert size.units == {"linear1": 9, "linear2": 7}
    assert size.parameters == size.macs == 6 * 9 + 9 * 7 + 7 * 5


def test_scores_are_accuracies_of_the_three_moments(joint):
    scores = joint.report_.scores
    assert list(scores) == ["before pruning", "after pruning", "after retraining"]
    assert all(0.5 < score <= 1 for score in scores.values())


def test_last_score_is_that_of_the_finished_module(quick, planted):
    X, y = planted
    clf = quick(n_features_to_select=1, validation_fraction=0.5).fit(X, y)
    scores = clf.report_.scores  # one input of three cannot do well on any rows
    assert scores["after retraining"] == pytest.approx(clf.score(X, y), abs=0.08)
    assert scores["after retraining"] < 0.8


class TimesSpread(nn.Module):
    """What multiplies units by their deviation, so that none can go alone."""

    def __init__(self, n_features_in, n_outputs):
        super().__init__()
        self.linear1 = nn.Linear(n_features_in, 16)
        self.output = nn.Linear(16, n_outputs)

    def forward(self, X):
        units = self.linear1(X).relu()
        return self.output(units * units.std(1, keepdim=True))


def test_units_that_hang_together_are_kept_whole_and_the_report_says_so(quick, planted):
    clf = quick(module=TimesSpread, alpha=0.12).fit(*planted)
    assert clf.report_.pruned.units == clf.report_.dense.units == {"linear1": 16}
    assert "hang together" in clf.report_.kept_whole["linear1"]
    assert "linear1" in repr(clf.report_)
    assert clf.support_.sum() < 12


def test_units_before_layer_norm_go(quick, planted):
    clf = quick(module__norm="layer", alpha=0.12).fit(*planted)
    assert clf.report_.pruned.units["linear1"] < 16
    assert clf.report_.kept_whole == {}
    assert clf.module_.network.norm1.width == clf.report_.pruned.units["linear1"]
    assert clf.module_.network.norm1.over == 16
    assert clf.score(*planted) > 0.9


def test_reports_compare_by_value(joint, quick, planted):
    assert joint.report_ == quick(alpha=0.12).fit(*planted).report_


def test_repr_lines_up_whatever_the_size(report):
    huge = dataclasses.replace(report.dense, macs=987_654_321_000)
    lines = repr(dataclasses.replace(report, dense=huge)).splitlines()[:-1]
    assert len(set(map(len, lines))) == 1
    assert " 1,975,308,642,000 " in lines[-1]


def test_frame_has_a_row_before_and_a_row_after(report):
    frame = report.to_frame()
    assert frame.index.tolist() == ["dense", "pruned"]
    assert frame["inputs"].tolist() == [20, 5]
    assert frame["units of linear1"].tolist() == [10, 4]
    assert frame["MACs"].tolist() == [800, 80] and frame["MACs"].dtype.kind == "i"
    assert frame["accuracy"].tolist() == [0.91234, 0.9]


def test_frame_has_missing_scores_where_there_are_none(report):
    scores = dict.fromkeys(report.scores)
    frame = dataclasses.replace(report, scores=scores).to_frame()
    assert frame["accuracy"].isna().all() and frame["accuracy"].dtype == float


def test_frame_without_pandas_says_what_to_install(report, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"to_frame needs pandas.*pip install pandas"):
        report.to_frame()


class Queried(nn.Module):
    """A layer that reads a parameter, and one that needs more than one row."""

    def __init__(self, n_features_in, n_outputs):
        super().__init__()
        self.query = nn.Parameter(torch.ones(1, 6))
        self.read = nn.Linear(6, 8)
        self.first = nn.Linear(n_features_in, 8)
        self.norm = nn.BatchNorm1d(8, track_running_stats=False)
        self.last = nn.Linear(8, n_outputs)

    def forward(self, X):
        gate = self.read(self.query.expand(X.shape[0], -1)).sigmoid()
        return self.last(self.norm(self.first(X).sigmoid() * gate).relu())


def test_macs_of_layers_that_read_parameters_are_counted(quick, planted):
    clf = quick(module=Queried, prune="none").fit(*planted)
    assert clf.report_.dense.macs == 6 * 8 + 12 * 8 + 8 * 2


@pytest.mark.parametrize(("kind", "gates"), [(nn.RNN, 1), (nn.GRU, 3), (nn.LSTM, 4)])
@pytest.mark.parametrize("directions", [1, 2])
def test_macs_of_recurrent_layers_are_counted(kind, gates, directions):
    class Read(nn.Module):
        def __init__(self):
            super().__init__()
            both = directions == 2
            self.read = kind(5, 6, num_layers=2, batch_first=True, bidirectional=both)
            self.last = nn.Linear(6 * directions, 2)

        def forward(self, X):
            return self.last(self.read(X)[0][:, -1])

    first, second = 6 * (5 + 6), 6 * (6 * directions + 6)
    assert NetworkSize.of(find_groups(Read(), (7, 5))).macs == (
        7 * gates * directions * (first + second) + 6 * directions * 2
    )


class Factored(nn.Module):
    """A weight that is a product of two, and attention."""

    def __init__(self):
        super().__init__()
        self.u, self.v = nn.Parameter(torch.ones(8, 3)), nn.Parameter(torch.ones(3, 4))
        self.attention = MultiheadAttention.of(
            nn.MultiheadAttention(8, 2, batch_first=True)
        )
        self.last = nn.Linear(8, 2)

    def forward(self, X):
        X = nn.functional.linear(X, self.u @ self.v)
        X, _ = self.attention(X, X, X, need_weights=False)
        return self.last(X.mean(1))


def test_macs_are_those_of_one_row_with_attention_and_products_of_weights():
    network = find_groups(Factored(), (5, 4))
    of_weights = 8 * 3 * 4
    projections = 5 * (4 * 8 + 4 * 8 * 8)
    scores_and_sums = 2 * 5 * 5 * 8
    assert NetworkSize.of(network).macs == (
        of_weights + projections + scores_and_sums + 8 * 2
    )


class Recurrent(nn.Module):
    """An LSTM, whose units are kept whole, behind which a scaling cannot be folded."""

    def __init__(self, n_features_in, n_outputs):
        super().__init__()
        self.lstm = nn.LSTM(n_features_in, 8, batch_first=True, proj_size=4)
        self.output = nn.Linear(4, n_outputs)

    def forward(self, X):
        return self.output(self.lstm(X[:, None])[0][:, -1])


def test_units_are_counted_alike_before_and_after_pruning(quick, planted):
    clf = quick(module=Recurrent, max_epochs=2, retrain_epochs=1).fit(*planted)
    assert clf.report_.dense.units == clf.report_.pruned.units == {"lstm": 8}
