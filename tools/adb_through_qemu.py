#!/usr/bin/env python3
"""A stand-in for Android's `adb` that has no phone: it runs arm64 programs through qemu-aarch64.

For rehearsing and testing what talks to adb.  Right numbers, honest exit statuses, meaningless
times: its shell has EFCOMPILE_EMULATED=1, by which efcompile labels every time as emulated.
Needs `qemu-aarch64` (apt-get install qemu-user) and nothing but Python.  Put it on PATH as `adb`:

    mkdir -p ~/.local/rehearsal && ln -s "$PWD/tools/adb_through_qemu.py" ~/.local/rehearsal/adb
    PATH=~/.local/rehearsal:$PATH efcompile devices

It knows `version`, `devices`, `get-state`, `wait-for-device`, `push`, `pull`, `shell` and
`-s SERIAL`.  The phone's storage is a folder.  Commands of its shell run in this machine's `sh`,
as you: it shuts nothing in.  A pushed arm64 program becomes a script that starts it under the
emulator; one for another processor is refused when run, as a phone would.

Variables (each begins with ADB_THROUGH_QEMU_):
    ROOT           the folder (default: ~/.cache/adb_through_qemu); a plain path, without spaces
    DEVICES        SERIAL:STATE,... (default: qemu-arm64:device); a state may be `offline`,
                   `unauthorized` or any other that adb knows; empty: none
    FREQUENCIES    CORE:KHZ,... the highest of each core, as 0:1800000,1:2400000 (default: not told)
    MACHINE        what `uname -m` says (default: aarch64)
    CPU            the emulator's CPU model (default: max)
  and for faults:
    OFFLINE_AFTER  after so many commands the phone is offline
    OFFLINE_FOR    ... for so many commands (default: for ever); wait-for-device ends it as well
    CUT_AFTER      the first command of its shell that prints so many lines is cut off there
    SPACE          bytes that the phone's storage holds
    TRUNCATE       `pull` brings so many bytes at most
    SLOW           seconds that each command takes longer
What was counted for OFFLINE_AFTER and CUT_AFTER stays in ROOT, in `commands` and `cut`: remove
these for another go.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

PREFIX = "ADB_THROUGH_QEMU_"
MAPPED = ("/data/local/tmp", "/sys/devices/system/cpu")
AARCH64 = 183
"""The ELF header's machine field."""


def setting(name: str, default: str = "") -> str:
    return os.environ.get(PREFIX + name, default)


ROOT = Path(setting("ROOT") or Path.home() / ".cache" / "adb_through_qemu")


def main() -> None:
    words = sys.argv[1:]
    serial = ""
    if words[:1] == ["-s"]:
        serial, words = words[1], words[2:]
    time.sleep(float(setting("SLOW", "0")))
    start_up()
    verb = words[0] if words else ""
    if verb == "version":
        print("adb_through_qemu, a stand-in for the Android Debug Bridge")
    elif verb in ("help", "--help", "-h"):
        print(__doc__)
    elif verb == "devices":
        print("List of devices attached")
        for name, state in listed().items():
            print(f"{name}\t{state}")
        print()
    elif verb == "get-state":
        require(serial)
        print("device")
    elif verb == "wait-for-device":
        wait(serial)
    elif verb == "push":
        require(serial)
        push(Path(words[1]), words[2])
    elif verb == "pull":
        require(serial)
        pull(words[1], Path(words[2]))
    elif verb == "shell":
        require(serial)
        sys.exit(shell(" ".join(words[1:])))
    else:
        end(f"adb: unknown command {verb}")


def start_up() -> None:
    """The phone's storage, and the few files of its system that are asked for."""
    if not str(ROOT).replace("/", "").replace("-", "").replace("_", "").replace(".", "").isalnum():
        end(f"{PREFIX}ROOT must be a plain path, not {ROOT}")
    inside("/data/local/tmp").mkdir(parents=True, exist_ok=True)
    tools = inside("/system/bin")
    tools.mkdir(parents=True, exist_ok=True)
    answers = {"ro.product.model": "adb_through_qemu", "ro.build.version.release": "0"}
    cases = " ".join(f"{name}) echo {value};;" for name, value in answers.items())
    script(tools / "getprop", f'case "$1" in {cases} *) echo;; esac')
    script(tools / "uname", f"echo {setting('MACHINE', 'aarch64')}")
    frequencies = dict(row.split(":") for row in setting("FREQUENCIES").split(",") if row)
    cores = inside("/sys/devices/system/cpu")
    shutil.rmtree(cores, ignore_errors=True)
    for core, value in frequencies.items():
        folder = cores / f"cpu{core}" / "cpufreq"
        folder.mkdir(parents=True)
        (folder / "cpuinfo_max_freq").write_text(f"{value}\n")


def listed() -> dict[str, str]:
    rows = (row.split(":", 1) for row in setting("DEVICES", "qemu-arm64:device").split(",") if row)
    return dict(rows)


def require(serial: str) -> None:
    """End with adb's own complaint unless the phone that is meant is ready."""
    phones = listed()
    if not phones:
        end("error: no devices/emulators found")
    if not serial and len(phones) > 1:
        end("error: more than one device/emulator")
    serial = serial or next(iter(phones))
    if serial not in phones:
        end(f"error: device '{serial}' not found")
    state = phones[serial]
    if state == "unauthorized":
        end(
            "error: device unauthorized.\nOtherwise check for a confirmation dialog on your device."
        )
    if state != "device" or away():
        end("error: device offline")


def away() -> bool:
    """Whether this command, which counts, meets the phone offline."""
    if not setting("OFFLINE_AFTER"):
        return False
    after, lasting = int(setting("OFFLINE_AFTER")), int(setting("OFFLINE_FOR", "1000000"))
    count = remembered("commands") + 1
    remember("commands", count)
    return after < count <= after + lasting


def wait(serial: str) -> None:
    while listed().get(serial or next(iter(listed()), "")) != "device":
        time.sleep(0.1)
    if setting("OFFLINE_AFTER"):
        after = int(setting("OFFLINE_AFTER"))
        while not setting("OFFLINE_FOR") and remembered("commands") >= after:
            time.sleep(0.1)
        if remembered("commands") > after:
            remember("commands", after + int(setting("OFFLINE_FOR", "0")))


def push(local: Path, remote: str) -> None:
    data = local.read_bytes()
    place = inside(remote)
    room = setting("SPACE")
    if room and used() + len(data) > int(room):
        end(
            f"adb: error: failed to copy '{local}' to '{remote}': remote write failed: "
            "No space left on device"
        )
    if data[:4] == b"\x7fELF":
        program = place.with_name(f".{place.name}.elf")
        machine = int.from_bytes(data[18:20], "little")
        if machine == AARCH64:
            program.write_bytes(data)
            program.chmod(0o700)
            cpu = setting("CPU", "max")
            script(place, f'exec {emulator()} -cpu {cpu} {program} "$@"')
        else:
            script(place, f"echo '{remote}: not executable: 64-bit ELF file' >&2; exit 126")
    else:
        try:
            place.write_bytes(data)
        except OSError as error:
            end(f"adb: error: failed to copy '{local}' to '{remote}': remote {error.strerror}")
        place.chmod(local.stat().st_mode & 0o777)
    print(f"{local}: 1 file pushed, 0 skipped.")


def pull(remote: str, local: Path) -> None:
    place = inside(remote)
    if not place.is_file():
        end(f"adb: error: failed to stat remote object '{remote}': No such file or directory")
    data = place.read_bytes()
    most = setting("TRUNCATE")
    local.write_bytes(data[: int(most)] if most else data)
    print(f"{remote}: 1 file pulled, 0 skipped.")


def shell(line: str) -> int:
    for path in MAPPED:
        line = line.replace(path, str(inside(path)))
    path = f"{inside('/system/bin')}:/usr/bin:/bin"
    environment = {"PATH": path, "HOME": str(ROOT), "EFCOMPILE_EMULATED": "1"}
    command = ["sh", "-c", line]
    cut = setting("CUT_AFTER")
    if not cut or remembered("cut"):
        return as_shells_say(subprocess.run(command, env=environment, cwd=ROOT).returncode)
    process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    for count, text in enumerate(process.stdout):
        if count == int(cut):
            remember("cut", 1)
            process.kill()
            end("error: closed")
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()
    return as_shells_say(process.wait())


def as_shells_say(status: int) -> int:
    return 128 - status if status < 0 else status


def emulator() -> str:
    found = shutil.which("qemu-aarch64")
    if found is None:
        end("adb_through_qemu: qemu-aarch64 is not installed: apt-get install qemu-user")
    return found


def inside(path: str) -> Path:
    """Where a file of the phone is kept here."""
    return ROOT / path.lstrip("/")


def used() -> int:
    return sum(file.stat().st_size for file in inside("/data").rglob("*") if file.is_file())


def script(place: Path, text: str) -> None:
    try:
        # Another stand-in may be reading it: it gets the old one or the new one.
        fresh = place.with_name(f".{place.name}.{os.getpid()}")
        fresh.write_text(f"#!/bin/sh\n{text}\n")
        fresh.chmod(0o700)
        fresh.rename(place)
    except OSError as error:
        end(f"adb: error: cannot write {place}: remote {error.strerror}")


def remembered(name: str) -> int:
    file = ROOT / name
    return int(file.read_text() or 0) if file.exists() else 0


def remember(name: str, value: int) -> None:
    (ROOT / name).write_text(str(value))


def end(complaint: str) -> NoReturn:
    print(complaint, file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
