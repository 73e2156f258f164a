import threading
import time

import pytest

from skjointprune._data.read_ahead import ahead


def wait_until(true):
    for _ in range(200):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError


def test_items_come_in_their_order():
    assert list(ahead(iter(range(100)))) == list(range(100))
    assert list(ahead(iter([]))) == []


def test_the_next_items_are_made_while_one_is_used():
    made = []

    def make():
        for i in range(10):
            made.append(i)
            yield i

    items = ahead(make())
    next(items)
    wait_until(lambda: len(made) == 3)  # one is ready, and one waits
    time.sleep(0.05)
    assert len(made) == 3
    items.close()


def test_an_error_is_raised_where_items_are_used():
    def make():
        yield 1
        raise ValueError("broken file")

    items = ahead(make())
    assert next(items) == 1
    with pytest.raises(ValueError, match="broken file"):
        next(items)


@pytest.mark.parametrize("n_used", [1, 3])
def test_no_thread_is_left_when_nobody_reads_on(n_used):
    before = threading.active_count()
    items = ahead(iter(range(1000)))
    for _ in range(n_used):
        next(items)
    assert threading.active_count() == before + 1
    items.close()
    assert threading.active_count() == before
