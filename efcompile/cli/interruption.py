"""Ctrl-C as a wish to stop: once, cleanly; twice, at once."""

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_on_interrupt(said: Callable[[], None] = lambda: None) -> Iterator[threading.Event]:
    """While this is open the first SIGINT sets the event (and calls `said`), and the second raises
    `KeyboardInterrupt` in the main thread.

    Programs started meanwhile, which a terminal's Ctrl-C reaches as well, do not hear it: they
    inherit the blocked signal, so the trial in flight ends as it would have.  Main thread only.
    """
    stop, ended = threading.Event(), threading.Event()
    main = threading.main_thread().ident
    assert main is not None

    def heard() -> None:
        if not stop.is_set():
            stop.set()
            said()
            return
        ended.clear()
        while not ended.is_set():
            # Not SIGINT, which the main thread blocks: this one wakes it from any wait, but one
            # that it is about to begin.
            signal.pthread_kill(main, signal.SIGUSR1)
            ended.wait(0.2)

    # The system gives a signal to any thread that does not block it, which may be one that was
    # there before; Python would call a handler when the main thread is next awake.  What it does
    # at once, in whichever thread, is to write the signal's number here.
    reader, writer = socket.socketpair()
    writer.setblocking(False)

    def listen() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        while numbers := reader.recv(64):
            for _ in range(numbers.count(signal.SIGINT)):
                heard()

    def ignore(number: int, frame: FrameType | None) -> None:
        """The listener has heard it."""

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()
        raise KeyboardInterrupt

    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, ignore),
        signal.SIGUSR1: signal.signal(signal.SIGUSR1, end),
    }
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    woken = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield stop
    finally:
        signal.set_wakeup_fd(woken)
        writer.close()
        listener.join()
        reader.close()
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number, handler in before.items():
            signal.signal(number, handler)
