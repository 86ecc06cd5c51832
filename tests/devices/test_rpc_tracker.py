"""The tracker's process, apart from what `test_tracker.py` asks a running one."""

import subprocess
import sys
from pathlib import Path

from efcompile.devices import rpc_tracker

ROOT = Path(rpc_tracker.__file__).parents[2]


def test_what_is_missing_is_named() -> None:
    code = "import sys; sys.modules['tornado'] = None; sys.argv = ['tracker', '--port', '9300']; "
    code += "from efcompile.devices.rpc_tracker import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert "pip install 'efcompile[tune]'" in done.stderr and "tornado" in done.stderr


def test_a_port_that_is_taken_is_passed_over() -> None:
    from efcompile.devices.tracker import serve_tracker

    with serve_tracker(port=9310) as one, serve_tracker(port=9310) as other:
        assert 9310 <= one.port < other.port < 9420
