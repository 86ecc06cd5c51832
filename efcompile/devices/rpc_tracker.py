"""TVM's RPC tracker as one process, which ends with its standard input.

`tracker.serve_tracker` runs this file.  On start it prints one line of JSON: ``{"port": PORT}``.
"""

import argparse
import json
import sys

from efcompile.devices.rpc_server import end_with_stdin, without_torch


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9190)
    parser.add_argument("--port-end", type=int, default=9290)
    options = parser.parse_args()
    without_torch()
    try:
        from tvm.rpc.tracker import PopenTrackerServerState
    except ImportError as error:
        sys.exit(f"TVM's tracker lacks something (pip install 'efcompile[tune]'): {error}")

    state = PopenTrackerServerState(options.host, options.port, options.port_end, silent=True)
    print(json.dumps({"port": state.port}), flush=True)
    end_with_stdin(state.thread)
    sys.exit("the tracker gave up: see the message above")


if __name__ == "__main__":
    main()
