from pathlib import Path

import pytest

from efcompile.bundle.render import NATIVE
from tests.bundle.native.programs import HERE, SANITIZERS, compile_c, run_program


@pytest.mark.parametrize("sanitizer", ["none", *SANITIZERS])
def test_every_task_runs_once(tmp_path: Path, sanitizer: str) -> None:
    sources = [HERE / "pool_stress.c", NATIVE / "ef_pool.c"]
    program = compile_c(sources, tmp_path / "stress", *SANITIZERS.get(sanitizer, []))
    assert run_program(program) == "ok\n"
