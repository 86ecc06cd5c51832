"""A program's kernels as objects: one each, compiled side by side or taken from the cache."""

import hashlib
import os
import warnings
from concurrent.futures import ThreadPoolExecutor

from efcompile import tvm_api
from efcompile.bundle.names import identifier, kernel_symbol
from efcompile.bundle.object_cache import ObjectCache
from efcompile.bundle.objects import HALF_HELPERS, privatise
from efcompile.lowering.program import KernelFunction, Program


def compile_kernels(program: Program, cache: ObjectCache | None) -> dict[str, bytes]:
    """An object for each kernel under its final, hidden symbol, by that symbol.

    Objects are kept in `cache` (None: nowhere) under the kernel's own name, which says only
    its kind and shape, so that models share them.  Compilation runs on all cores: LLVM works
    without Python's lock.
    """
    model, target = identifier(program.name), program.target
    kernels = list(program.kernels.values())
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        recipe = tvm_api.object_recipe(target)
        texts = list(pool.map(lambda kernel: tvm_api.serialise(_named(kernel)), kernels))
        keys = [hashlib.sha256(f"{recipe}\n{text}".encode()).hexdigest() for text in texts]
        found = {key: cache.get(key) if cache else None for key in keys}
        missing = [i for i, key in enumerate(keys) if found[key] is None]
        # The largest first, or all would wait for it in the end.
        missing.sort(key=lambda i: -len(texts[i]))
        built = pool.map(lambda i: tvm_api.build_object([_named(kernels[i])], target), missing)
        made = {keys[i]: code for i, code in zip(missing, built, strict=True)}
    if cache is not None and made:
        _keep(cache, made)
    objects = {}
    for kernel, key in zip(kernels, keys, strict=True):
        code = made[key] if key in made else found[key]
        assert code is not None
        objects[kernel_symbol(model, kernel.symbol)] = _private(code, model, kernel.symbol)
    return objects


def _named(kernel: KernelFunction) -> object:
    return kernel.func.with_attr("global_symbol", kernel.symbol)


def _private(code: bytes, model: str, symbol: str) -> bytes:
    """The object with names of this model and kernel alone, the helpers' included."""
    names = {symbol: kernel_symbol(model, symbol)}
    names |= {helper: kernel_symbol(model, f"{symbol}{helper}") for helper in HALF_HELPERS}
    return privatise(code, names)


def _keep(cache: ObjectCache, made: dict[str, bytes]) -> None:
    try:
        for key, code in made.items():
            cache.put(key, code)
        cache.prune()
    except OSError as error:
        warnings.warn(
            f"cannot keep compiled kernels in {cache.folder} ({error.strerror}), so the next run "
            "compiles them again: set EFCOMPILE_CACHE to a folder that can be written, or to off",
            stacklevel=2,
        )
