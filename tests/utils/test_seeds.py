import numpy as np
import pytest
import torch
from sklearn.utils import check_random_state

from skjointprune._utils.seeds import draw_seed, seeded


@pytest.mark.parametrize("random_state", [0, 7, np.int64(7), 2**32 - 1])
def test_number_draws_the_seed_that_scikit_learn_would(random_state):
    expected = check_random_state(random_state).randint(2**31 - 1)
    assert draw_seed(random_state) == draw_seed(random_state) == expected


def test_random_state_goes_on_from_seed_to_seed():
    random_state, same = np.random.RandomState(3), np.random.RandomState(3)
    seeds = [draw_seed(random_state) for _ in range(3)]
    assert seeds == [same.randint(2**31 - 1) for _ in range(3)]
    assert len(set(seeds)) == 3


def test_none_draws_another_seed_each_time_and_leaves_numpys_state():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    assert draw_seed(None) != draw_seed(None)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_torchs_random_state_is_the_seeds_within_and_as_before_after():
    before = torch.get_rng_state()
    with seeded(5, torch.device("cpu")):
        drawn = torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(3))


def test_torchs_random_state_is_as_before_after_an_error():
    before = torch.get_rng_state()
    with pytest.raises(KeyError), seeded(5, torch.device("cpu")):
        torch.rand(3)
        raise KeyError
    assert torch.equal(torch.get_rng_state(), before)


def test_new_tensors_are_of_float32_within_whatever_the_user_has_set():
    torch.set_default_dtype(torch.float64)
    try:
        with seeded(5, torch.device("cpu")):
            assert torch.zeros(1).dtype == torch.float32
        assert torch.zeros(1).dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_nothing_is_cast_within_though_the_user_does():
    a = torch.ones(2, 2)
    with torch.autocast("cpu", torch.bfloat16):
        with seeded(0, torch.device("cpu")):
            assert (a @ a).dtype == torch.float32
        assert (a @ a).dtype == torch.bfloat16


@pytest.mark.parametrize("switch_off", [torch.no_grad, torch.inference_mode])
def test_tensors_have_gradients_though_the_user_switched_them_off(switch_off):
    with switch_off():
        with seeded(0, torch.device("cpu")):
            weight = torch.ones(2, requires_grad=True)
            weight.sum().backward()
        assert not torch.is_grad_enabled()
    assert torch.equal(weight.grad, torch.ones(2))
