from pathlib import Path

from efcompile.bundle.memory import mapped, zeroed
from efcompile.lowering.program import ALIGNMENT


def test_memory_is_aligned_zero_and_outlives_its_map() -> None:
    memory = zeroed(1000)
    assert memory.nbytes == 1000
    assert memory.ctypes.data % ALIGNMENT == 0
    assert not memory.any()
    memory[-1] = 1


def test_a_mapped_file_is_read_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    memory = mapped(tmp_path / "file")
    assert memory.tobytes() == b"abc"
    assert memory.ctypes.data % ALIGNMENT == 0
    assert not memory.flags.writeable
