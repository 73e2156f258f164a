import numpy as np
import pytest
import torch

from skjointprune._pruning.schedules import Rise, Sweep


class Recorder:
    """Stands in for a sparsifier of six inputs."""

    n_groups = 6

    def __init__(self):
        self.alphas, self.n_inputs = [], []

    def prune(self, alpha, n_inputs=None, alpha_of_units=None):
        self.alphas.append(alpha)
        self.n_inputs.append(n_inputs)
        return torch.arange(6)

    def alpha_for(self, share, *, of_inputs=False):
        return share


def run(schedule):
    """Let all events of a schedule happen; return what it asked for."""
    recorder = Recorder()
    for event in range(schedule.n_events):
        assert torch.equal(schedule.prune(recorder, event), torch.arange(6))
    return recorder


@pytest.mark.parametrize("schedule", [Rise(0.3), Sweep([0.1, 0.2], 99), Sweep(None, 4)])
def test_events_are_within_the_phase(schedule):
    assert 0 < schedule.start < schedule.stop <= 1
    assert schedule.n_events > 1


def test_a_fit_raises_the_threshold_to_alpha():
    recorder = run(Rise(0.3))
    assert recorder.alphas == sorted(recorder.alphas)
    assert recorder.alphas[0] == 0 and recorder.alphas[-1] == 0.3
    assert len(recorder.alphas) == Rise.n_events
    assert set(recorder.n_inputs) == {None}


def test_a_fit_lowers_the_number_of_inputs_to_what_was_asked():
    recorder = run(Rise(0.3, n_inputs=2))
    assert recorder.n_inputs == sorted(recorder.n_inputs, reverse=True)
    assert recorder.n_inputs[0] == 6 and recorder.n_inputs[-1] == 2


def test_a_sweep_reaches_each_given_alpha_in_turn():
    alphas = [1e-3, 1e-2, 1e-1]
    schedule = Sweep(alphas, 99)
    assert schedule.n_points == 3
    recorder = run(schedule)
    assert recorder.alphas == sorted(recorder.alphas)
    reached = [
        alpha
        for event, alpha in enumerate(recorder.alphas)
        if schedule.point_at(event) is not None
    ]
    assert reached == pytest.approx(alphas)


def test_a_sweep_without_alphas_asks_for_all_shares_up_to_the_last_input():
    schedule = Sweep(None, 4)
    recorder = run(schedule)
    assert recorder.alphas == pytest.approx(np.arange(1, 21) / 20)
    points = [schedule.point_at(event) for event in range(schedule.n_events)]
    assert [point for point in points if point is not None] == [0, 1, 2, 3]


def test_a_sweep_notes_no_falling_threshold_and_none_of_zero():
    schedule = Sweep(None, 2)
    recorder, noted = Recorder(), []
    recorder.alpha_for = lambda share: 1 - share if share < 1 else 0.0
    for event in range(schedule.n_events):
        schedule.prune(recorder, event)
        noted.append(schedule.alpha)
    assert noted == sorted(noted)
    assert noted[0] > 0
