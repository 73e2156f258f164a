import os
import subprocess
import sys

import pytest

from skjointprune._storage import lock as lock_module
from skjointprune._storage.lock import Lock


def test_one_at_a_time_has_the_lock(tmp_path):
    first, second = Lock(tmp_path / "file"), Lock(tmp_path / "file")
    assert first.acquire()
    assert not second.acquire()
    assert Lock(tmp_path / "other").acquire()
    second.release()
    assert not second.acquire()
    first.release()
    assert second.acquire()
    second.release()
    assert not (tmp_path / "file.lock").exists()


# without the package, whose import takes seconds
HOLD = """
import runpy, sys, time
lock = runpy.run_path(sys.argv[1])["Lock"](sys.argv[2])
print(lock.acquire(), flush=True)
time.sleep(60)
"""


def test_a_process_that_is_killed_lets_go_of_it(tmp_path):
    path = tmp_path / "file"
    command = [sys.executable, "-c", HOLD, lock_module.__file__, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"True\n"
        assert not Lock(path).acquire()
        process.kill()
    lock = Lock(path)
    assert lock.acquire()
    lock.release()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_does_not_keep_it(tmp_path):
    lock = Lock(tmp_path / "file")
    assert lock.acquire()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(reader, 1)
        os._exit(0)
    lock.release()
    try:
        assert lock.acquire()
        lock.release()
    finally:
        os.write(writer, b"x")
        os.waitpid(child, 0)
