import signal
import subprocess
import sys
import threading

import pytest

from skjointprune._utils.signals import BeforeSignals

# without the package, whose import takes seconds
WAIT = """
import os, runpy, signal, sys
BeforeSignals = runpy.run_path(sys.argv[3])["BeforeSignals"]
if sys.argv[2] == "ignored":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with BeforeSignals(lambda: print("called", flush=True)) as signals:
    if sys.argv[2] == "late":
        with signals.put_off():
            os.kill(os.getpid(), int(sys.argv[1]))
            print("went on", flush=True)
    else:
        os.kill(os.getpid(), int(sys.argv[1]))
print("at the end", flush=True)
"""


def run(number, how="at once"):
    file = sys.modules[BeforeSignals.__module__].__file__
    command = [sys.executable, "-c", WAIT, str(int(number)), how, file]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout.split("\n")[:-1]


def test_a_process_ends_by_its_signal_after_the_call():
    assert run(signal.SIGTERM) == (-signal.SIGTERM, ["called"])


def test_a_signal_that_comes_too_early_is_passed_on_later():
    assert run(signal.SIGTERM, "late") == (-signal.SIGTERM, ["went on"])


def test_a_signal_that_is_ignored_stays_so():
    assert run(signal.SIGTERM, "ignored") == (0, ["at the end"])


def test_an_interrupt_is_raised_after_the_call_and_handlers_come_back():
    before = signal.getsignal(signal.SIGINT)
    calls = []
    with pytest.raises(KeyboardInterrupt), BeforeSignals(lambda: calls.append(1)):
        signal.raise_signal(signal.SIGINT)
    assert calls == [1]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_handler_of_the_user_is_called_too():
    seen = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append("user"))
    try:
        with BeforeSignals(lambda: seen.append("ours")):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == ["ours", "user"]


def test_a_signal_is_passed_on_where_the_call_fails():
    with pytest.raises(KeyboardInterrupt), BeforeSignals(lambda: 1 / 0):
        signal.raise_signal(signal.SIGINT)


def test_in_a_thread_nothing_is_set():
    before = signal.getsignal(signal.SIGINT)
    found = []

    def enter():
        with BeforeSignals(print):
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [before]
