"""From what a user types to a `Target`."""

import difflib
from collections.abc import Iterable
from dataclasses import replace

from efcompile.errors import TargetError
from efcompile.targets.aliases import ALIASES
from efcompile.targets.cpus import CPUS, DEFAULT_CPU, Cpu
from efcompile.targets.features import FLAGS, Arch, registers
from efcompile.targets.host import detect_host
from efcompile.targets.target import Target
from efcompile.targets.triple import SUPPORTED, is_triple, parse_triple


def resolve(
    name: str = "host",
    *,
    cpu: str | None = None,
    features: tuple[str, ...] | None = None,
    compact: bool = False,
    threads: int | None = None,
) -> Target:
    """Describe the target `name`: ``host``, an alias of `ALIASES`, or a triple.

    `cpu`, a key of `CPUS`, replaces the target's core and with it features and caches;
    `features` (LLVM's names, no ``+``) replace the features that may be used.  The machine
    that runs the code must have the core's own features too, so to go below a core's choose
    ``generic`` or ``x86-64-v3``.  A bare triple gets `DEFAULT_CPU`.  With `compact` weights keep
    their size: no `Target.strassen`, which triples for x86-64 and hosts that gain by it have.
    With `threads` work is cut for so many cores, if there are more.

    Raises `TargetError` for an unknown name, CPU or feature (with the nearest known one), and
    for features without which the kernels cannot run.
    """
    pairs, strassen, ask_l2 = False, None, False
    if name == "host":
        host = detect_host()
        pairs, strassen, ask_l2 = host.pairs, host.strassen, host.ask_l2
        if cpu is None and features is None:
            return _for_threads(replace(host, strassen=host.strassen and not compact), threads)
        triple, default_cpu, known_sizes = host.triple, host.cpu, _sizes(host)
    elif name in ALIASES:
        alias = ALIASES[name]
        triple, default_cpu = alias.triple, alias.cpu
        known_sizes = alias.overrides if cpu is None else {}
    elif is_triple(name):
        triple, default_cpu, known_sizes = name, DEFAULT_CPU[parse_triple(name).arch], {}
    else:
        known = ["host", *ALIASES]
        raise TargetError(
            f"unknown target `{name}`{_nearest(name, [*known, *SUPPORTED])}. "
            f"Known: {', '.join(known)}, or a triple such as {SUPPORTED[0]}."
        )
    system = parse_triple(triple)
    core = _core(cpu or default_cpu, system.arch)
    _check_features(features or (), system.arch)
    chosen = core.features if features is None else features
    vector_bits, count = registers(system.arch, chosen)
    described = Target(
        name=name,
        triple=system.triple,
        cpu=core.llvm,
        features=chosen,
        vector_bits=vector_bits,
        registers=count,
        os=system.os,
        object_format=system.object_format,
        strassen=(system.arch == "x86_64" if strassen is None else strassen) and not compact,
        pairs=pairs and vector_bits == 512,
        ask_l2=ask_l2,
        **(_sizes(core) | known_sizes),
    )
    return _for_threads(described, threads)


def _for_threads(target: Target, threads: int | None) -> Target:
    return target if threads is None else replace(target, cores=min(target.cores, threads))


def _sizes(described: Cpu | Target) -> dict[str, int]:
    """The fields on caches and cores, which `Cpu` and `Target` share."""
    names = ("l1_bytes", "l2_bytes", "llc_bytes", "cores")
    return {name: getattr(described, name) for name in names}


def _core(cpu: str, arch: Arch) -> Cpu:
    fitting = [known for known, core in CPUS.items() if core.arch == arch]
    if cpu in fitting:
        return CPUS[cpu]
    why = f"is not a core of {arch}" if cpu in CPUS else "is unknown"
    raise TargetError(
        f"the CPU `{cpu}` {why}{_nearest(cpu, fitting)}. Known for {arch}: {', '.join(fitting)}."
    )


def _check_features(features: tuple[str, ...], arch: Arch) -> None:
    for feature in features:
        if feature not in FLAGS[arch]:
            raise TargetError(
                f"unknown CPU feature `{feature}` for {arch}{_nearest(feature, FLAGS[arch])}. "
                f"Known: {', '.join(FLAGS[arch])} (LLVM's names, without `+`)."
            )


def _nearest(word: str, known: Iterable[str]) -> str:
    """``; did you mean `x`?`` for the most similar known word, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean `{close[0]}`?" if close else ""
