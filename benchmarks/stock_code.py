"""Code of MetaSchedule's own schedules, exactly as TVM compiles it, where our kernels run."""

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from efcompile import tvm_api
from efcompile.bundle.render import NATIVE
from efcompile.kernels.kernel import Built
from efcompile.targets.target import Target
from efcompile.tvm_api import s_tir, tvm

_ENTRY = Path(__file__).with_name("stock_entry.c")


def expand(module: Any) -> Built:
    """A scheduled module's ``main``, for `assemble`: a single task, as its parallel loops run one
    after the other.

    It takes constants in the layout that the schedule wants (`stock_layout.rewritten`), as from a
    compiler that packs them ahead of time.
    """
    rewrite = s_tir.transform.RemoveWeightLayoutRewriteBlock(skip_tensor_rewrite=True)
    return Built(rewrite(module)["main"], 0, tasks=1)


def assemble(functions: Sequence[Any], target: Target) -> bytes:
    """The object of one function of `expand`: our signature around what TVM makes of it.

    Raises `subprocess.CalledProcessError` if ``cc``, ``ld`` or ``objcopy`` fails.
    """
    (function,) = functions
    symbol = str(function.attrs["global_symbol"])
    shapes = [[int(extent) for extent in param.shape] for param in function.params]
    names = [f"p{i}" for i in range(len(shapes))]
    macros = {
        "ENTRY": symbol,
        "STOCK": f"__tvm_ffi_{symbol}",
        "PARAMS": ", ".join(f"void *{name}" for name in names),
        "POINTERS": ", ".join(names),
        "RANKS": ", ".join(str(len(shape)) for shape in shapes),
        "SHAPES": ", ".join("{" + ", ".join(map(str, shape)) + "}" for shape in shapes),
    }
    llvm = tvm.target.Target(tvm_api.tvm_target(target))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stock, entry, both = folder / "stock.o", folder / "entry.o", folder / "both.o"
        tvm.compile(function, target=llvm).mod.write_to_file(str(stock), "o")
        defined = [f"-D{macro}={value}" for macro, value in macros.items()]
        _run("cc", "-O2", "-fPIC", f"-I{NATIVE}", *defined, "-c", _ENTRY, "-o", entry)
        _run("ld", "-r", "--force-group-allocation", entry, stock, "-o", both)
        # Other candidates in the same program have the same names.
        _run("objcopy", f"--keep-global-symbol={symbol}", both)
        return both.read_bytes()


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True)
