import mmap

from benchmarks.resident import Resident, parse, reset_peak, resident

_STATUS = """Name:\tx
VmHWM:\t    400 kB
VmRSS:\t    300 kB
RssAnon:\t    200 kB
RssFile:\t     70 kB
RssShmem:\t     30 kB
"""


def test_the_kernels_text() -> None:
    kb = 1024
    assert parse(_STATUS) == Resident(now=300 * kb, peak=400 * kb, own=200 * kb, file=100 * kb)


def test_a_peak_is_seen_and_forgotten() -> None:
    reset_peak()
    before = resident()
    size = 64 << 20
    # Not an array, and no large bytes: an allocator may keep what it was given back.
    with mmap.mmap(-1, size) as memory:
        while memory.tell() < size:
            memory.write(b"1" * mmap.PAGESIZE)
    assert resident().peak > before.peak + size // 2
    reset_peak()
    assert resident().peak < before.peak + size // 2
