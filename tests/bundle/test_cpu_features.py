import platform
from pathlib import Path

import pytest

from efcompile.bundle.cpu_features import required_features
from efcompile.errors import TargetError
from efcompile.targets.features import FLAGS
from efcompile.tvm_api import enabled_features
from tests.bundle.programs import HOST, target_named, with_features


@pytest.mark.parametrize("name", ["host", "arm64", "iphone12"])
def test_every_feature_a_target_may_list_can_be_checked(name: str) -> None:
    target = target_named(name)
    listed = tuple(FLAGS[target.arch])
    asked = {f.name for f in required_features(with_features(target, *listed), ())}
    assert asked == {*target.features, *listed}


def test_an_uncheckable_feature_is_refused_by_name() -> None:
    with pytest.raises(TargetError, match=r"no way to check .* warp-drive on linux"):
        required_features(with_features(HOST, "warp-drive"), ())


def test_the_cpus_own_vector_features_count_and_its_crypto_does_not() -> None:
    target = target_named("arm64")
    asked = {f.name for f in required_features(target, ["rdm", "aes", "fuse-aes"])}
    assert asked == {*target.features, "rdm"}


def test_x86_v3_asks_for_all_that_llvm_then_uses() -> None:
    if platform.machine() != "x86_64":
        pytest.skip("an x86-64 target")
    asked = {f.name for f in required_features(HOST, enabled_features(HOST))}
    assert {"avx2", "fma", "bmi2", "f16c", "movbe", "lzcnt"} <= asked


def test_rows_find_what_the_kernel_found(tmp_path: Path) -> None:
    """Every row compiled and asked on this CPU, against /proc/cpuinfo."""
    import subprocess

    from efcompile.bundle.render import NATIVE

    words = {name: flag for name, flag in FLAGS[HOST.arch].items() if name != "neon"}
    rows = required_features(with_features(HOST, *words), ())
    table = "".join(f"{{{row.row}}}," for row in rows)
    source = tmp_path / "ask.c"
    source.write_text(
        f'#include <stdio.h>\n#include "ef_cpu.h"\nstatic const ef_feature f[] = {{{table}}};\n'
        f"int main(void) {{ for (int i = 0; i < {len(rows)}; ++i) "
        'printf("%d\\n", ef_cpu_has(&f[i])); }'
    )
    subprocess.run(["cc", f"-I{NATIVE}", source, "-o", tmp_path / "ask"], check=True)
    said = subprocess.run([tmp_path / "ask"], check=True, capture_output=True, text=True).stdout
    cpuinfo = Path("/proc/cpuinfo").read_text().split()
    found = {row.name: bool(int(bit)) for row, bit in zip(rows, said.split(), strict=True)}
    assert {name: found[name] for name in words} == {
        name: flag in cpuinfo for name, flag in words.items()
    }
