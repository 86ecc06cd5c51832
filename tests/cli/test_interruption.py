"""Ctrl-C once is a wish, twice an end; programs in flight do not hear it."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from efcompile.cli.interruption import stop_on_interrupt


def test_the_first_is_a_wish() -> None:
    said: list[str] = []
    with stop_on_interrupt(lambda: said.append("stopping")) as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.wait(5)
    assert said == ["stopping"]


def test_a_thread_that_was_there_before_does_not_swallow_it() -> None:
    """The system may give it to that one, which does not block it as the main thread does."""
    over = threading.Event()
    old = threading.Thread(target=over.wait)
    old.start()
    try:
        with stop_on_interrupt() as stop:
            os.kill(os.getpid(), signal.SIGINT)
            assert stop.wait(5)
    finally:
        over.set()
        old.join()


def test_the_second_wakes_the_main_thread() -> None:
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt), stop_on_interrupt() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.wait(5)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)
    assert time.monotonic() - start < 15


def test_afterwards_all_is_as_before() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGUSR1)
    with stop_on_interrupt():
        pass
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGUSR1)) == before
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.parametrize(("shielded", "ends"), [(True, 0), (False, -signal.SIGINT)])
def test_a_program_in_flight_does_not_hear_it(shielded: bool, ends: int) -> None:
    program = ["sleep", "0.4"]
    if shielded:
        with stop_on_interrupt():
            running = subprocess.Popen(program)
    else:
        running = subprocess.Popen(program)
    time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    assert running.wait(5) == ends


def test_a_terminals_ctrl_c_reaches_the_whole_group_and_ends_nothing() -> None:
    script = (
        "import subprocess, sys\n"
        "from efcompile.cli.interruption import stop_on_interrupt\n"
        "with stop_on_interrupt() as stop:\n"
        "    child = subprocess.Popen(['sleep', '0.5'])\n"
        "    print('ready', flush=True)\n"
        "    code = child.wait()\n"
        "print(stop.is_set(), code)\n"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "ready\n"
    os.killpg(running.pid, signal.SIGINT)
    assert running.communicate(timeout=20)[0] == "True 0\n"
