"""What `networks.py` finds out about one network, in a process of its own.

Each finding is written to a file as soon as it is known, so that those before a limit
of time or memory are there. An error is kept as its first line.
"""

import io
import json
import pickle
import random
import resource
import signal
import tempfile
import time
import warnings
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from pathlib import Path

import numpy as np
import torch
from _network_list import N_OUTPUTS, VOCABULARY, build, case_of

from skjointprune import (
    ImageInput,
    InputFeatureSelector,
    JointPruneClassifier,
    export_onnx,
    load,
    save,
)
from skjointprune._graph.compact import TOLERANCE, compact_, zero_groups_
from skjointprune._graph.groups import find_groups
from skjointprune._layers.stand_ins import with_prunable_layers

SHARES = (70, 30)  # percent of the channels that a random cut keeps
ROWS_A_CLASS = 2
PEER_SECONDS = 30  # of processor time: torch-pruning does not end on some networks


class Findings:
    """Findings by name, written to a file one by one."""

    def __init__(self, path):
        self.path, self.found = path, {}

    def note(self, **more):
        """Keep findings."""
        self.found |= more
        self.path.write_text(json.dumps(self.found))

    def attempt(self, name, function, *args):
        """Note what a function returns, or its error; return the result."""
        self.note(**{name: "did not end"})
        try:
            result = function(*args)
        except Exception as error:
            result = first_line(error)
        self.note(**{name: result})
        return result


@contextmanager
def limit_of(seconds):
    """Raise TimeoutError within after so many seconds of processor time."""

    def stop(*args):
        raise TimeoutError(f"It does not end within {seconds} s.")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def first_line(error):
    """Return the kind of an error and the first line of its text."""
    line = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {line}"[:300]


def check_network(name, path, fit, gigabytes):
    """Do all checks of a network, and write the findings to a file."""
    if gigabytes is not None:
        resource.setrlimit(resource.RLIMIT_AS, (int(gigabytes * 2**30),) * 2)
    torch.set_num_threads(1)
    with warnings.catch_warnings(action="ignore"):
        _check_network(name, path, fit)


def _check_network(name, path, fit):
    findings = Findings(Path(path))
    case = case_of(name)
    seed(0)
    find_groups(torch.nn.Linear(2, 2), (2,))  # imports count for no network
    module = with_prunable_layers(build(name).eval())
    findings.note(parameters=count(module))
    start = time.process_time()
    findings.note(traced="did not end")
    try:
        network = find_groups(module, case.shape)
    except Exception as error:
        findings.note(traced=first_line(error))
    else:
        findings.note(
            traced=True,
            seconds=round(time.process_time() - start, 2),
            may_go=share_that_may_go(network),
            kept_whole=list(dict.fromkeys(network.kept_whole.values()))[:5],
        )
        shake_(module)
        findings.note(parameters_may_go=cut(network, masks(network, 0))[1])
        for percent in SHARES:
            findings.attempt(f"cut_{percent}", check_cut, network, percent, case)
        if fit:
            check_fit(findings, name, case)
    with limit_of(PEER_SECONDS):
        findings.attempt("torch_pruning", check_torch_pruning, name, case)


def seed(number):
    """Seed all generators."""
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002
    torch.manual_seed(number)


def count(module):
    """Return the number of parameters."""
    return sum(p.numel() for p in module.parameters())


def share_that_may_go(network):
    """Return which share of the units between inputs and outputs may go.

    Layers without a rule have as many as their weights have rows. Units that go with
    an input, as each of a column, count, too.
    """
    parameters = dict(network.module.named_parameters())
    weights = {name: p for name, p in parameters.items() if p.ndim > 1}
    without_rule = sum(
        len(p)
        for name, p in weights.items()
        if any(f"{name}.".startswith(f"{layer}.") for layer in network.without_rule)
    )
    units = [
        (c.size * max(c.units_each, default=1), c.pinned is None)
        for c in network.channels
        if c is not network.inputs or any(a.tensor in weights for a in c.produced_by)
    ]
    total = without_rule + sum(n for n, _ in units)
    return round(sum(n for n, free in units if free) / total, 4) if total else 0.0


def shake_(module):
    """Draw parameters and statistics anew: what begins at zero would hide much."""
    with torch.no_grad():
        for p in module.parameters():
            if p.is_floating_point():
                vector = p.numel() == max(p.shape, default=1)
                p.add_(torch.randn_like(p), alpha=0.2 if vector else 0.01)
        for name, statistic in module.named_buffers():
            if name.endswith("running_mean"):
                statistic.normal_(std=0.3)
            elif name.endswith("running_var"):
                statistic.uniform_(0.5, 1.5)


def rows_of(case, n):
    """Return random rows; those of token models are whole numbers."""
    if case.kind == "tokens":
        return torch.randint(VOCABULARY, (n, *case.shape)).float()
    return torch.randn(n, *case.shape)


def masks(network, percent):
    """Keep about so many channels that may go, at least one of each set."""
    keep = {}
    for channels in network.channels:
        if not channels.pinned:
            mask = torch.rand(channels.size) < percent / 100
            mask[torch.randint(channels.size, ())] = True
            keep[channels.name] = mask
    return keep


def cut(network, keep):
    """Return the compact network, and the share of parameters that went."""
    small = network.copy()
    compact_(small, keep)
    return small, round(1 - count(small.module) / count(network.module), 4)


def run(module, rows):
    """Return outputs in evaluation, with nothing that was kept from before."""
    with torch.no_grad():
        return module.train().eval()(rows)


def check_cut(network, percent, case):
    """Cut a network; tell whether it computes what the zeroed one does.

    Also which share of the parameters went, and how far that is from the dense network.
    """
    seed(percent)
    keep = masks(network, percent)
    rows = rows_of(case, 3)
    left = rows
    if "inputs" in keep:
        kept = keep["inputs"].nonzero().flatten()
        left = rows.index_select(network.input_dim, kept)
    small, gone = cut(network, keep)
    zeroed = network.copy()
    zero_groups_(zeroed, keep)
    changed = distance(network.module, rows, zeroed.module, rows)
    return compare(small.module, left, zeroed.module, rows) | {
        "changed": changed,
        "gone": gone,
    }


def compare(small, left, zeroed, rows):
    """Tell whether outputs are those of the zeroed network.

    Where float32 may be why they are not, float64 decides.
    """
    difference = distance(small, left, zeroed, rows)
    if not difference <= TOLERANCE:
        small, zeroed = small.double(), zeroed.double()
        difference = distance(small, left.double(), zeroed, rows.double())
    return {"exact": difference <= TOLERANCE, "difference": difference}


def distance(module, left, other, rows):
    """Return how far outputs of a module are from another's, by its largest one."""
    got, expected = run(module, left.clone()), run(other, rows.clone())
    if got.shape != expected.shape:
        raise ValueError(f"The outputs are {got.shape}, not {expected.shape}.")
    largest = expected.abs().max().clamp(min=1e-9)
    if not largest.isfinite():
        raise ValueError("The outputs are not finite.")
    return float(f"{float((got - expected).abs().max() / largest):.2g}")


def check_fit(findings, name, case):
    """Fit a few rows for one epoch, and take what comes out to other places."""
    y = np.repeat(np.arange(N_OUTPUTS), ROWS_A_CLASS)
    X = rows_of(case, len(y)).numpy()
    images = ImageInput(groups="channel") if case.kind == "images" else None
    clf = JointPruneClassifier(
        module=partial(build, name),
        alpha=0.03,
        max_epochs=1,
        retrain_epochs=1,
        batch_size=len(y) // 2,
        standardize=case.kind != "tokens",
        validation_fraction=None,
        images=images,
        random_state=0,
        device="cpu",
    )

    def fit():
        clf.fit(X, y)
        return True

    start = time.process_time()
    if findings.attempt("fit", fit) is not True:
        return
    left = count(clf.module_) / clf.report_.dense.parameters
    findings.note(
        fit_seconds=round(time.process_time() - start, 1), fit_left=round(left, 4)
    )
    expected = clf.predict_proba(X)
    for way in (save_and_load, pickle_and_load, to_onnx):
        findings.attempt(way.__name__, is_close, way, clf, X, expected)
    findings.attempt("to_export", is_close, to_export, clf, X, None)


def is_close(way, clf, X, expected):
    """Tell whether predictions elsewhere are the same."""
    got = way(clf, X)
    if expected is None:
        got, expected = got
    if np.allclose(got, expected, atol=1e-3, rtol=1e-3):
        return True
    return f"the predictions differ by {np.abs(got - expected).max():.2g}"


def save_and_load(clf, X):
    """Return the predictions of what `load` reads."""
    with tempfile.TemporaryDirectory() as folder:
        save(clf, f"{folder}/saved.zip")
        return load(f"{folder}/saved.zip", module=clf.module).predict_proba(X)


def pickle_and_load(clf, X):
    """Return the predictions of what pickle reads."""
    return pickle.loads(pickle.dumps(clf)).predict_proba(X)


def to_onnx(clf, X):
    """Return the predictions of an ONNX runtime."""
    import onnxruntime

    file = Path(tempfile.mkdtemp()) / "network.onnx"
    try:
        export_onnx(clf, file)
        session = onnxruntime.InferenceSession(file)
    finally:
        file.unlink(missing_ok=True)
        file.parent.rmdir()
    return session.run(None, {"X": X.astype(np.float32)})[0]


def to_export(clf, X):
    """Return the outputs of what torch.export makes, also when read back, and ours."""
    left = InputFeatureSelector(clf, prefit=True).transform(X)
    rows = torch.as_tensor(np.asarray(left), dtype=torch.float32)
    module = clf.module_.cpu().eval()
    exported = torch.export.export(module, (rows,))
    file = io.BytesIO()
    torch.export.save(exported, file)
    file.seek(0)
    with torch.no_grad():
        return torch.export.load(file).module()(rows).numpy(), module(rows).numpy()


def check_torch_pruning(name, case):
    """Let torch-pruning remove 30 % of the channels, and compare with zeros.

    As ours, it is told what the outputs are, and nothing else.
    """
    try:
        import torch_pruning as tp
    except ImportError:
        return None
    seed(0)
    zeroed = build(name).eval()
    shake_(zeroed)
    small = deepcopy(zeroed)
    rows = rows_of(case, 2)
    expected_by = tp.DependencyGraph().build_dependency(zeroed, example_inputs=rows)
    layers = dict(zeroed.named_modules())
    outputs = [
        layer
        for layer in small.modules()
        if N_OUTPUTS in (getattr(layer, "out_features", 0), *sizes(layer)[:1])
    ]
    pruner = tp.pruner.BasePruner(
        small,
        rows,
        importance=tp.importance.RandomImportance(),
        pruning_ratio=0.3,
        ignored_layers=outputs,
    )
    before = count(small)
    names = {layer: name for name, layer in small.named_modules()}
    for group in pruner.step(interactive=True):
        (root, gone), *_ = group
        layer = names[root.target.module]
        whole = expected_by.get_pruning_group(layers[layer], root.handler, gone)
        for part, at in whole:
            if expected_by.is_out_channel_pruning_fn(part.handler):
                zero_(part.target.module, at)
        group.prune()
    gone = round(1 - count(small) / before, 4)
    return compare(small, rows, zeroed, rows) | {"gone": gone}


def sizes(layer):
    """Return the shape of the weight of a layer."""
    weight = getattr(layer, "weight", None)
    return tuple(weight.shape) if isinstance(weight, torch.Tensor) else ()


def zero_(layer, at):
    """Zero what makes some channels of a layer."""
    own = [layer] if isinstance(layer, torch.nn.Parameter) else layer.parameters(False)
    spread_out = getattr(layer, "transposed", False)
    with torch.no_grad():
        for p in own:
            dim = 1 if spread_out and p.ndim > 1 else 0
            if p.ndim and max(at) < p.shape[dim]:
                p.index_fill_(dim, torch.as_tensor(at), 0)
