import io
import pickle
import re

import pytest
import torch

from skjointprune._estimators.pose import pose
from skjointprune._training.plan import plan_of_fit
from skjointprune._training.progress import RETRAIN, SEARCH, SILENT, Progress, _duration


class Clock:
    """Time that passes where a test says so."""

    now = 100.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock():
    return Clock()


def follow(clock, stream, *, verbose=1, label="", seconds=1.0, epochs=(10, 10)):
    """Run two phases, of an epoch each `seconds`; return what is written on the way."""
    written = []
    with Progress(verbose, label, stream, clock) as progress:
        progress.expect([(SEARCH, epochs[0]), (RETRAIN, epochs[1])], 8)
        for phase, n in zip((SEARCH, RETRAIN), epochs, strict=True):
            progress.begin(phase, n)
            for epoch in range(n):
                clock.now += seconds
                progress.advance(1, lambda left=n - epoch: left)
                written.append(stream.getvalue())
    return written


def test_nothing_is_written_without_verbose(clock):
    follow(clock, stream := Terminal(), verbose=0)
    assert stream.getvalue() == ""


@pytest.mark.parametrize("kind", [Terminal, io.StringIO])
def test_nothing_is_written_in_the_first_seconds(clock, kind):
    follow(clock, stream := kind(), seconds=0.99 * SILENT / 20)
    assert stream.getvalue() == ""
    written = follow(clock, stream, seconds=SILENT / 4)
    assert written[:3] == [""] * 3 and written[3] != ""


def test_a_line_at_a_terminal_is_rewritten_until_it_ends(clock):
    written = follow(clock, stream := Terminal())
    assert all("\n" not in text for text in written)
    assert len(set(written)) == 20  # nothing after the first epoch, then always more
    assert re.search(r"\rdone in 20 s *\n$", stream.getvalue())


def test_a_shorter_text_covers_all_of_a_longer_one(clock):
    with Progress(1, "", stream := Terminal(), clock) as progress:
        progress.begin("a phase of many words", 2)
        clock.now += 5
        progress.advance(1, lambda: 1000)
        progress.begin("short", 2)
        clock.now += 5
        progress.advance(1, lambda: 1)
    _, long, short, done = stream.getvalue().split("\r")
    assert len(long.rstrip()) > len(short.rstrip())
    assert len(long) == len(short) and len(done.rstrip("\n")) >= len(short.rstrip())


def test_a_file_gets_a_line_a_phase_and_one_every_ten_seconds(clock):
    follow(clock, stream := io.StringIO(), epochs=(25, 4))
    lines = stream.getvalue().splitlines()
    assert "\r" not in stream.getvalue()
    phases = [line.split(",")[0] for line in lines]
    assert phases == ["searching"] * 3 + ["retraining", "done in 29 s"]


def test_beside_a_table_of_epochs_there_are_whole_lines(clock):
    follow(clock, stream := Terminal(), verbose=2)
    assert "\r" not in stream.getvalue() and stream.getvalue().count("\n") >= 3


@pytest.mark.parametrize("kind", [Terminal, io.StringIO])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_line_ends_where_a_fit_fails(clock, kind, error):
    stream = kind()
    with pytest.raises(error), Progress(1, "", stream, clock) as progress:
        progress.begin(RETRAIN, 10)
        clock.now += 3
        progress.advance(1, lambda: 5)
        raise error
    text = stream.getvalue()
    assert text.endswith("\n") and text.count("\n") == 1 and "done" not in text


def test_nothing_is_written_once_the_line_is_closed(clock):
    with Progress(1, "", stream := Terminal(), clock) as progress:
        progress.begin(RETRAIN, 10)
    clock.now += 60
    progress.advance(1, lambda: 5)
    assert stream.getvalue() == ""


def seconds_named(stream):
    return [int(s) for s in re.findall(r"about (-?\d+) s to go", stream.getvalue())]


def test_time_left_is_that_of_all_phases_at_the_mean_epoch(clock):
    follow(clock, stream := Terminal())
    assert seconds_named(stream) == [*range(18, -1, -1)]


def test_time_before_training_does_not_count_for_the_rate(clock):
    progress = Progress(1, "", Terminal(), clock)
    with progress:
        clock.now += 1000
        progress.begin(RETRAIN, 10)
        clock.now += 5
        progress.advance(5, lambda: 1)
        assert progress.seconds_left() == pytest.approx(5)


def test_phases_that_do_not_come_are_waited_for_no_longer(clock):
    with Progress(1, "", Terminal(), clock) as progress:
        progress.expect([("a", 10), ("b", 50), ("b", 50), ("c", 10)], 3)
        progress.begin("a", 10)
        clock.now += 10
        progress.advance(10, lambda: 3)
        assert progress.seconds_left() == pytest.approx(110)
        progress.begin("b", 50)
        assert progress.seconds_left() == pytest.approx(110)
        progress.begin("c", 10)
        assert progress.seconds_left() == pytest.approx(10)


def test_time_left_is_never_negative(clock):
    stream = Terminal()
    with Progress(1, "", stream, clock) as progress:
        progress.begin("not expected", 2)
        for _ in range(10):  # more than was said
            clock.now += 1
            progress.advance(1, lambda: 3)
            assert progress.seconds_left() >= 0
        progress.begin("of no epochs", 0)
        progress.advance(1, lambda: 3)
        assert progress.seconds_left() == 0
    assert min(seconds_named(stream)) == 0 and "-" not in stream.getvalue()


def test_one_of_several_fits_is_named_and_begins_with_the_first(clock):
    first = Progress(1, "all rows", Terminal(), clock)
    clock.now += SILENT
    fold = first.named("fold 1 of 2")
    with fold:
        fold.begin(RETRAIN, 2)
        fold.advance(1, lambda: 3)
    assert "\rfold 1 of 2: retraining, 3 of" in first.stream.getvalue()
    assert first.label == "all rows"


def test_a_progress_goes_to_other_processes():
    assert pickle.loads(pickle.dumps(Progress(1, "fold 1 of 2"))).label == "fold 1 of 2"


def test_a_narrow_terminal_does_not_wrap_the_line(clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    follow(clock, stream := Terminal())
    parts = stream.getvalue().rstrip("\n").split("\r")
    assert max(map(len, parts)) <= 29


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (99.4, "99 s"),
        (100, "2 min"),
        (3600, "60 min"),
        (9000, "2 h 30 min"),
    ],
)
def test_durations_are_in_units_of_their_size(seconds, text):
    assert _duration(seconds) == text


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"n_features_to_select": 3}, ["removing inputs and units", "retraining"]),
        ({"prune": "none"}, ["training", "retraining"]),
        (
            {"pretrain_epochs": 2, "distillation": 0.5, "prune": "inputs"},
            ["training the dense network", "removing inputs", "retraining"],
        ),
    ],
)
def test_the_plan_of_a_fit_has_the_epochs_of_its_history(
    quick, planted, params, expected
):
    clf = quick(max_epochs=4, retrain_epochs=3, **params)
    problem = pose(clf, *planted, None, 0, torch.device("cpu"))
    plan = plan_of_fit(problem, clf.alpha)
    assert [phase for phase, _ in plan] == expected
    assert sum(epochs for _, epochs in plan) == len(clf.fit(*planted).history_)
