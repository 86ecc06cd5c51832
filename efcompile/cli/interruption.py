"""Ctrl-C as a wish to stop: once, cleanly; twice, at once."""

import signal
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
    stop = threading.Event()
    main = threading.main_thread().ident
    assert main is not None

    def heard() -> None:
        if stop.is_set():
            # Not SIGINT, which the main thread blocks: this one wakes it from any wait.
            signal.pthread_kill(main, signal.SIGUSR1)
        else:
            stop.set()
            said()

    def listen() -> None:
        while not closed.is_set():
            if signal.sigtimedwait({signal.SIGINT}, 0.1) is not None:
                heard()

    def handle(number: int, frame: FrameType | None) -> None:
        # A thread that was there before does not block SIGINT, and the system may give it to
        # that one; Python then calls this in the main thread.
        heard()

    def end(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    closed = threading.Event()
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, handle),
        signal.SIGUSR1: signal.signal(signal.SIGUSR1, end),
    }
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield stop
    finally:
        closed.set()
        listener.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number, handler in before.items():
            signal.signal(number, handler)
