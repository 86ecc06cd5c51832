"""A TVM RPC server that outlives what its sessions do.  Runs on the device.

    TVM_TRACKER_KEY=KEY python3 rpc_server.py --tracker 127.0.0.1:9190

Needs Python 3.10 or later and TVM, and nothing else of efcompile: copy this one file to a board
or into a phone's Linux userland.  Beyond TVM's own server (`tvm.exec.rpc_server`) it

- listens on loopback unless told otherwise, and warns when it is;
- goes on after a session whose process crashed, where TVM's own stops listening;
- keeps uploads in a folder that only this user can read, removed at the end of the session;
- tells efcompile what it runs on (the function ``efcompile.server_info``), and ends a session
  that computes for longer than it may (``efcompile.set_limit``);
- takes the key from the environment, where no list of processes and no log shows it.

On start it prints one line of JSON: ``{"port": PORT}``.
"""

import argparse
import json
import logging
import os
import platform
import select
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from typing import Any

LOOPBACK = ("127.0.0.1", "::1", "localhost")
KEY_VARIABLE = "TVM_TRACKER_KEY"
EMULATED_VARIABLE = "EFCOMPILE_EMULATED"
FOLDER_VARIABLE = "EFCOMPILE_SERVICE_FOLDER"
"""A folder that whoever started this one made for it alone, and cannot remove when killed."""
WARNING = (
    "warning: TVM's RPC is plain text, has no authentication and runs any code it is sent: "
    "whoever reaches {host}:{port} can do all that this user can. Listen on 127.0.0.1 and forward "
    "the port (ssh -L, adb forward), or use a network of your own"
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until killed, or until standard input ends with ``--end-with-stdin``."""
    options = _options(arguments)
    os.umask(0o077)
    folder = tempfile.tempdir = tempfile.mkdtemp(prefix="efcompile-rpc-")
    try:
        _serve(options, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _serve(options: argparse.Namespace, folder: str) -> None:
    without_torch()
    try:
        from tvm.rpc import server as tvm_server
    except ImportError as error:
        needs = "apache-tvm cloudpickle psutil"
        sys.exit(f"TVM's RPC server lacks something (pip install {needs}): {error}")

    tvm_server.logger.setLevel(logging.INFO if options.verbose else logging.ERROR)
    _register("efcompile.server_info", server_info)
    _register("efcompile.set_limit", set_limit)
    # Named by TVM 0.27 and older; without it a crash in a session would end the server.
    tvm_server._serving = outliving(tvm_server._serving)
    tracker = _address(options.tracker) if options.tracker else None
    state = tvm_server.PopenRPCServerState(
        options.host,
        options.port,
        options.port_end,
        tracker_addr=tracker,
        key=os.environ.get(KEY_VARIABLE, ""),
        custom_addr=options.custom_addr,
        silent=not options.verbose,
    )
    if options.host not in LOOPBACK:
        print(WARNING.format(host=options.host, port=state.port), file=sys.stderr, flush=True)
    print(json.dumps({"port": state.port}), flush=True)
    if options.end_with_stdin:
        end_with_stdin(state.thread, folder)
    state.thread.join()
    sys.exit("the RPC server gave up: see the message above")


def without_torch() -> None:
    """Keep TVM from importing PyTorch where that is installed: it takes a second, much memory,
    and is of no use here."""
    absent: Any = None
    sys.modules.setdefault("torch", absent)


def end_with_stdin(thread: threading.Thread, *folders: str) -> None:
    """Wait for `thread`; when standard input ends before, end this whole process group, after
    removing `folders` and the one in `FOLDER_VARIABLE`."""
    given = os.environ.get(FOLDER_VARIABLE)
    while thread.is_alive():
        if select.select([sys.stdin], [], [], 0.5)[0] and not os.read(0, 4096):
            for folder in (*folders, *([given] if given else [])):
                shutil.rmtree(folder, ignore_errors=True)
            # Sessions are processes of their own, which may be deep in somebody's kernel.
            os.killpg(0, signal.SIGKILL)


def outliving(serve: Callable[..., None]) -> Callable[..., None]:
    """TVM's function for one session, made to return whatever becomes of the session."""

    def session(connection: Any, *rest: Any) -> None:
        home = os.getcwd()
        try:
            serve(connection, *rest)
        except RuntimeError as error:
            print(f"a session ended badly: {error}", file=sys.stderr, flush=True)
        finally:
            os.chdir(home)
            connection.close()

    return session


def server_info() -> str:
    """What this is, as JSON: instruction set, system, versions, and whether it is emulated."""
    import tvm

    return json.dumps(
        {
            "machine": platform.machine(),
            "system": platform.system().lower(),
            "release": platform.release(),
            "python": platform.python_version(),
            "tvm": tvm.__version__,
            "cores": len(os.sched_getaffinity(0)),
            "emulated": os.environ.get(EMULATED_VARIABLE) == "1",
        }
    )


def set_limit(seconds: float) -> None:
    """Have the system end this session after `seconds`, whatever it does then; 0: not any more."""
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _register(name: str, function: Callable[..., Any]) -> None:
    from tvm_ffi import register_global_func

    register_global_func(name, function, override=True)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A TVM RPC server for efcompile.")
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="listen on this address (default: %(default)s)")
    add("--port", type=int, default=9091, help="first port to try (default: %(default)s)")
    add("--port-end", type=int, default=9190, help="end of the ports (default: %(default)s)")
    add("--tracker", metavar="HOST:PORT", help=f"register there, under the key in ${KEY_VARIABLE}")
    add("--custom-addr", metavar="HOST", help="where the tracker says this server is")
    add("--end-with-stdin", action="store_true", help="end when standard input does")
    add("--verbose", action="store_true", help="log every session")
    options = parser.parse_args(arguments)
    if options.tracker and not os.environ.get(KEY_VARIABLE):
        parser.error(f"a tracker needs a key: set {KEY_VARIABLE}")
    return options


if __name__ == "__main__":
    main()
