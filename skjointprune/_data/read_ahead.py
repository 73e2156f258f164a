"""Read ahead in a thread."""

from collections.abc import Iterator
from queue import Full, Queue
from threading import Event, Thread
from typing import Any, TypeVar

T = TypeVar("T")

SECONDS_TO_NOTICE = 0.1  # that nobody reads on


def ahead(items: Iterator[T]) -> Iterator[T]:
    """Yield items in their order, which a thread makes ahead: one is ready, at most.

    A thread, and no process: Arrow stands still in a forked one, and a spawned one
    would have to be sent what it makes. What reads files, numpy and torch let other
    threads run meanwhile. The thread ends with the iterator, however that ends.
    """
    ready: Queue[tuple[str, Any]] = Queue(maxsize=1)
    stopped = Event()

    def put(what: str, item: Any) -> None:
        while not stopped.is_set():
            try:
                return ready.put((what, item), timeout=SECONDS_TO_NOTICE)
            except Full:
                pass

    def work() -> None:
        try:
            for item in items:
                put("item", item)
                if stopped.is_set():
                    return
        except BaseException as error:  # raised again where it can be seen
            put("error", error)
        else:
            put("end", None)

    thread = Thread(target=work, name="skjointprune read ahead", daemon=True)
    thread.start()
    try:
        while True:
            what, item = ready.get()
            if what == "error":
                raise item
            if what == "end":
                return
            yield item
            del item  # while the next is waited for
    finally:
        stopped.set()
        thread.join()
