"""The only module that touches version-sensitive TVM names.

Importing it does not import TVM; the first call that needs TVM does, after it has checked
that the installed pair is the one this release was made for.
"""

import hashlib
import importlib
import json
import tempfile
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from efcompile.errors import TargetError, ToolchainError

if TYPE_CHECKING:
    from efcompile.targets.target import Target

PINS = {"apache-tvm": "0.27.0.post1", "apache-tvm-ffi": "0.1.14.post1"}
"""TVM breaks its API with every release and tvm-ffi its ABI: only this pair is known to work."""


def installed_versions() -> dict[str, str]:
    """Versions of the pinned packages here; a missing one reads ``not installed``."""
    found = {}
    for package in PINS:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def check_versions() -> None:
    """Raise `ToolchainError` unless exactly the pinned TVM pair is installed."""
    found = installed_versions()
    if found == PINS:
        return
    have = ", ".join(f"{package} {version}" for package, version in found.items())
    need = " ".join(f"{package}=={version}" for package, version in PINS.items())
    raise ToolchainError(
        f"efcompile needs one exact pair of TVM packages and found {have}: run `pip install {need}`"
    )


@cache
def _tvm() -> Any:
    check_versions()
    import tvm

    return tvm


def __getattr__(name: str) -> Any:
    """The constructors that kernels are built from (``tirx``, ``stmt``, ``ForKind`` and types),
    and TVM's modules."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    tvm = _tvm()
    if name == "tvm":
        return tvm
    return getattr(importlib.import_module(_HOMES[name]), name)


_HOMES = {
    "tvm": "",
    "te": "tvm",
    "tirx": "tvm",
    "s_tir": "tvm",
    "relax": "tvm",
    "structural": "tvm_ffi",
    "stmt": "tvm.tirx",
    "ForKind": "tvm.tirx.stmt",
    "PointerType": "tvm.ir",
    "PrimType": "tvm.ir",
}
"""Where each name of `__getattr__` lives."""


def tvm_target(target: "Target") -> dict[str, Any]:
    """The target as the dictionary TVM wants.

    Raises `TargetError` for a CPU name LLVM does not know, which TVM itself would only log
    before it quietly compiled for a generic one.
    """
    _tvm()
    from tvm.target import codegen

    if not codegen.llvm_is_valid_cpu(target.cpu, target.triple):
        raise TargetError(
            f"target {target.name!r}: LLVM knows no cpu {target.cpu!r} for {target.triple}; "
            "use a name that `clang -mcpu=help` lists for that architecture"
        )
    return {
        "kind": "llvm",
        "mtriple": target.triple,
        "mcpu": target.cpu,
        "mattr": [f"+{feature}" for feature in target.features],
        "num-cores": target.cores,
    }


def enabled_features(target: "Target") -> frozenset[str]:
    """Every LLVM feature that code for `target` may use: those it lists and those its cpu has."""
    tvm = _tvm()
    from tvm.target import codegen

    features = codegen.llvm_get_cpu_features(tvm.target.Target(tvm_target(target)))
    return frozenset(str(feature) for feature in features)


def build_object(functions: Sequence[Any], target: "Target") -> bytes:
    """Compile PrimFuncs into one relocatable object with plain C functions.

    Each function's ``global_symbol`` is its symbol and its parameters are passed as they
    are (pointers and int32), without packed arguments or any use of TVM's runtime.
    """
    tvm = _tvm()
    lowering = tvm.tirx.transform
    llvm = tvm.target.Target(tvm_target(target))
    module = tvm.IRModule({str(f.attrs["global_symbol"]): f for f in functions})
    passes = [
        lowering.BindTarget(llvm.with_host(llvm)),
        lowering.StmtSimplify(),
        lowering.FlattenBuffer(),
        # Of a vector at a constant index FlattenBuffer makes a sum of vectors, which LLVM would
        # load and store in halves.
        lowering.StmtSimplify(),
        lowering.VectorizeLoop(),
        lowering.UnrollLoop(),
        lowering.LowerTVMBuiltin(),
        lowering.LowerIntrin(),
    ]
    with tvm.transform.PassContext(opt_level=3), tempfile.TemporaryDirectory() as folder:
        lowered = tvm.transform.Sequential(passes)(module)
        built = tvm.get_global_func("target.build.llvm")(lowered, llvm)
        if target.arch == "x86_64":
            built = _with_frame_pointers(built, Path(folder) / "kernels.ll")
        path = Path(folder) / "kernels.o"
        built.write_to_file(str(path), "o")
        return path.read_bytes()


def _with_frame_pointers(built: Any, path: Path) -> Any:
    """A module of LLVM's, all its functions with a frame pointer, by way of its text at `path`.

    Without one LLVM can align the stack to 16 bytes only, and lays vectors that do not fit into
    registers across cache lines and, as the stack happens to start, across pages: then a loop
    may take one and a half times as long, in one process and not in another.
    """
    text = str(built.inspect_source("ll"))
    path.write_text(text.replace('"target-cpu"=', '"frame-pointer"="all" "target-cpu"='))
    return _tvm().runtime.load_module(str(path))


def serialise(function: Any) -> str:
    """All of a PrimFunc as text: equal for equal functions, in any process."""
    return str(_tvm().ir.save_json(function))


def object_recipe(target: "Target") -> str:
    """What decides the bytes that `build_object` makes, besides the functions, as text."""
    from tvm.target import codegen

    recipe = {
        "versions": installed_versions(),
        "llvm": codegen.llvm_version_major(),
        "target": tvm_target(target),
        # The passes and options are those this file names.
        "source": hashlib.sha256(Path(__file__).read_bytes()).hexdigest(),
    }
    return json.dumps(recipe, sort_keys=True)


def fused_relax(program: Any) -> Any:
    """A `torch.export.ExportedProgram` of core ops as a Relax module: a ``main`` that is a
    straight line of ``call_tir``, and the PrimFuncs it calls, fused."""
    tvm = _tvm()
    from tvm.relax import backend, op, transform
    from tvm.relax.frontend.torch import from_exported_program

    def reduction(reduce: Any) -> Any:
        def convert(node: Any, importer: Any) -> Any:
            dims = node.args[1] if len(node.args) > 1 else None
            keep = node.args[2] if len(node.args) > 2 else node.kwargs.get("keepdim", False)
            axis = dims if dims != [] else None
            value = reduce(importer.env[node.args[0]], axis=axis, keepdims=keep)
            return importer.block_builder.emit(value)

        return convert

    def index_select(node: Any, importer: Any) -> Any:
        # The importer's own take reads anywhere; eager raises for an index out of bounds.
        x, index = (importer.env[node.args[i]] for i in (0, 2))
        return importer.block_builder.emit(op.take(x, index, node.args[1], mode="clip"))

    converters = {
        "index_select.default": index_select,
        "amax.default": reduction(op.max),
        "amin.default": reduction(op.min),
        "prod.dim_int": reduction(op.prod),
    }
    module = from_exported_program(
        program, custom_convert_map=converters, run_ep_decomposition=False
    )
    passes = [
        backend.DispatchSortScan(),
        transform.LegalizeOps(),
        transform.AnnotateTIROpPattern(),
        transform.FuseOps(),
        transform.FuseTIR(),
        transform.DeadCodeElimination(),
    ]
    # Only scans look at the target, and only at its kind.
    with tvm.target.Target("llvm"), tvm.transform.PassContext(opt_level=3):
        return tvm.transform.Sequential(passes)(module)


def meta_schedule() -> Any:
    """MetaSchedule's module.  `import tvm` has already imported it; neither imports
    ``tvm.s_tir.tensor_intrin``, which parses TVMScript for many CPU-seconds."""
    return _tvm().s_tir.meta_schedule


def meta_schedule_part(base: str, implementation: Any) -> Any:
    """A MetaSchedule object, such as a ``mutator.PyMutator``, with the methods of `implementation`,
    a plain object, which it keeps alive.

    It does what ``derived_object`` does for subclasses.  What a method raises reaches the caller
    of MetaSchedule as a bare ``RuntimeError`` with the text only.
    """
    module, name = base.split(".")
    meta = getattr(getattr(meta_schedule(), module), name)._tvm_metadata
    return meta["cls"](*(getattr(implementation, method, None) for method in meta["methods"]))


def tune_context(
    module: Any,
    target: "Target",
    generator: Any,
    strategy: Any,
    *,
    name: str,
    seed: int,
    log: Any,
    threads: int = 1,
) -> Any:
    """A ``TuneContext`` that searches with so many threads.

    Its own constructor in Python imports ``tvm.s_tir.tensor_intrin``; this calls what it calls.
    """
    native = meta_schedule().logging.get_logging_func(log)
    llvm = _tvm().target.Target(tvm_target(target))
    api = meta_schedule()._ffi_api
    return api.TuneContext(module, llvm, generator, strategy, name, threads, seed, native)


class RpcRefused(Exception):
    """TVM's RPC client could not open a session; the message is TVM's."""


def rpc_connect(host: str, port: int, key: str, seconds: float) -> Any:
    """A `tvm.rpc.RPCSession` that the server ends after `seconds`; `RpcRefused` without one."""
    _tvm()
    from tvm import rpc

    try:
        return rpc.connect(host, port, key, session_timeout=seconds)
    except Exception as error:  # RuntimeError, OSError, or what the other side raised
        raise RpcRefused(str(error)) from error
