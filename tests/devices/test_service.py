"""Child processes that listen: how they start, fail, and end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from efcompile.devices.service import Service
from efcompile.errors import DeviceError
from tests.devices.rpc_servers import until

# Listens nowhere, but behaves: says a port, has a child in a loop, ends with its input.
GOOD = """
import os, signal, sys, tempfile
print('{"port": 7}', flush=True)
tempfile.mkstemp()
if not (child := os.fork()):
    while True: pass
print(child, os.environ.get("SECRET"), file=sys.stderr, flush=True)
sys.stdin.read()
os.killpg(0, signal.SIGKILL)
"""


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except FileNotFoundError:
        return True


def test_it_ends_with_all_its_children() -> None:
    with Service("good", [sys.executable, "-c", GOOD], {"SECRET": "s"}) as service:
        assert service.port == 7 and service.alive()
        until(lambda: service.said().endswith(" s"))
        child = int(service.said().split()[0])
        folder = service._folder
        assert not _gone(child) and len(list(folder.iterdir())) == 2
        assert folder.stat().st_mode & 0o077 == 0
    until(lambda: _gone(child))
    assert _gone(service.pid) and not folder.exists()
    service.stop()  # as often as one likes


def test_it_ends_when_its_parent_is_killed() -> None:
    parent = (
        "import sys, time; from efcompile.devices.service import Service; "
        f"s = Service('good', [sys.executable, '-c', {GOOD!r}]); "
        "time.sleep(0.3); print(s.pid, s.said().split()[0], flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pids = [int(word) for word in process.stdout.readline().split()]
    assert not any(_gone(pid) for pid in pids)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    until(lambda: all(_gone(pid) for pid in pids))


def test_children_of_one_that_ended_by_itself_end_too() -> None:
    leaves = GOOD.replace("sys.stdin.read()", "os._exit(3)")
    with Service("leaves", [sys.executable, "-c", leaves]) as service:
        until(lambda: not service.alive())
        child = int(service.said().split()[0])
        assert not _gone(child)
    until(lambda: _gone(child))


def test_a_real_one_leaves_no_folder_when_its_parent_is_killed() -> None:
    parent = (
        "import time; from efcompile.devices.tracker import serve_tracker; "
        "s = serve_tracker(); print(s.pid, s._folder, flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid, folder = process.stdout.readline().split()
    assert Path(folder).exists()
    process.terminate()
    process.wait()
    process.stdout.close()
    until(lambda: _gone(int(pid)) and not Path(folder).exists())


def test_one_that_does_not_start_says_why() -> None:
    fails = "import sys; sys.exit('no luck today')"
    with pytest.raises(DeviceError, match="bad could not be started: no luck today"):
        Service("bad", [sys.executable, "-c", fails])
    start = time.monotonic()
    waits = "import sys, time; print('soon', file=sys.stderr, flush=True); time.sleep(60)"
    with pytest.raises(DeviceError, match=r"slow did not come up within 1 s: soon"):
        Service("slow", [sys.executable, "-c", waits], timeout=1)
    assert time.monotonic() - start < 10


def test_one_that_ends_by_itself_is_an_error() -> None:
    once = "import sys; print('{\"port\": 1}', flush=True); sys.exit('enough')"
    with (
        Service("once", [sys.executable, "-c", once]) as service,
        pytest.raises(DeviceError, match="once ended: enough"),
    ):
        service.wait()
