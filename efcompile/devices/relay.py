"""A connection that can be cut: TVM's RPC client waits for ever for a device that went away."""

import contextlib
import socket
import threading

_KEEPALIVE = ("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4)
"""Half a minute without any sign of life from the other machine is the end; one that computes
still answers these."""
_PIECE = 1 << 18


class Relay:
    """Carries one connection, made to `port` on loopback, to and from the socket `far`.

    It ends when either side ends, when `cut` is called, or after `seconds`; all of it is gone
    then.  `ended` tells.
    """

    def __init__(self, far: socket.socket, seconds: float) -> None:
        self._far = far
        far.settimeout(None)
        far.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for name, value in _KEEPALIVE:
            if hasattr(socket, name):  # Linux has them; macOS some
                far.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self._near: socket.socket | None = None
        self._lock = threading.Lock()
        self.ended = threading.Event()
        self.expired = False
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1)
        self._listener.settimeout(seconds)
        self.port: int = self._listener.getsockname()[1]
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True
        self._timer.start()
        threading.Thread(target=self._carry, daemon=True).start()

    def cut(self) -> None:
        """End it now; harmless when it has ended."""
        self._timer.cancel()
        with self._lock:
            # Who waits for `ended` must not find anybody listening; who finds a connection closed
            # must find `ended` set.
            _close(self._listener)
            self.ended.set()
            for end in (self._far, self._near):
                if end is not None:
                    _close(end)

    def _expire(self) -> None:
        self.expired = not self.ended.is_set()
        self.cut()

    def _carry(self) -> None:
        try:
            near, _ = self._listener.accept()
        except OSError:  # cut before anybody came
            self.cut()
            return
        with self._lock:
            self._near = near
            over = self.ended.is_set()
        if over:
            near.close()
            return
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        back = threading.Thread(target=self._pump, args=(self._far, near), daemon=True)
        back.start()
        self._pump(near, self._far)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(_PIECE):
                sink.sendall(piece)
        self.cut()


def _close(end: socket.socket) -> None:
    # Not `close` alone: a forked child may hold the same connection.
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
