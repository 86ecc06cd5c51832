"""Lines of a program, as they come."""

import subprocess

import pytest

from efcompile.devices.lines import lines


def _started(script: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE)


def test_whole_lines_of_any_ending() -> None:
    with _started(r"printf 'a\r\nb'; sleep 0.1; printf 'c\n\nrest'") as process:
        assert list(lines(process, 5)) == ["a", "bc", ""]


def test_each_line_has_its_own_time() -> None:
    with _started("for i in 1 2 3 4; do echo $i; sleep 0.7; done") as process:
        assert list(lines(process, 2.0)) == ["1", "2", "3", "4"]


def test_silence_is_not_endured() -> None:
    with _started("echo a; exec sleep 20") as process:
        read = lines(process, 2.0)
        assert next(read) == "a"
        with pytest.raises(TimeoutError, match="nothing for 2 s"):
            next(read)
        process.kill()


def test_part_of_a_line_is_silence() -> None:
    with _started("while true; do printf .; sleep 0.05; done") as process:
        with pytest.raises(TimeoutError):
            next(lines(process, 0.4))
        process.kill()
