from functools import partial

import numpy as np
import pytest
import torch
from _helpers import table

from skjointprune._data.tables import Table
from skjointprune._training.batches import Batches, add_noise


@pytest.mark.parametrize(("n", "size"), [(50, 16), (33, 16), (17, 16), (5, 16), (1, 4)])
@pytest.mark.parametrize("shuffle", [True, False])
def test_batches_hold_every_row_once_and_none_alone(n, size, shuffle):
    data = Table(torch.arange(n)[:, None], torch.arange(n), torch.ones(n))
    batches = list(Batches(data, size, shuffle))
    sizes = [len(X) for X, _ in batches]
    assert sorted(torch.cat([X for X, _ in batches]).flatten().tolist()) == list(
        range(n)
    )
    assert max(sizes) <= size and max(sizes) - min(sizes) <= 1
    assert min(sizes) > 1 or n == 1
    assert len(batches) == len(Batches(data, size))


def test_batches_are_shuffled_anew_and_by_torch_alone():
    data = table()
    torch.manual_seed(3)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    batches = Batches(data, 16, shuffle=True)
    first, second = (torch.cat([X for X, _ in batches]) for _ in range(2))
    torch.manual_seed(3)
    again = torch.cat([X for X, _ in Batches(data, 16, shuffle=True)])
    assert not torch.equal(first, second)
    assert torch.equal(first, again)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


def test_noise_is_added_to_the_inputs_of_batches_alone():
    data = table(4000, 3)
    before = data.X.clone()
    noisy = list(Batches(data, 500, changes=[partial(add_noise, std=2.0)]))
    assert torch.equal(data.X, before)
    assert torch.equal(torch.cat([y for _, (y, _) in noisy]), data.y)
    difference = torch.cat([X for X, _ in noisy]) - before
    assert difference.std().item() == pytest.approx(2, rel=0.05)
    assert torch.equal(torch.cat([X for X, _ in Batches(data, 500)]), before)


@pytest.mark.parametrize("batch_size", [1, 2, 7, 359, 10_000])
def test_any_batch_size_trains(quick, planted, batch_size):
    clf = quick(batch_size=batch_size, max_epochs=2, retrain_epochs=1)
    assert np.isfinite(clf.fit(*planted).predict_proba(planted[0])).all()
