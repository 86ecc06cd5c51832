#!/usr/bin/env bash
# Sets up a Python environment for efcompile.
#   tools/setup.sh VENV run|test TORCH
# VENV is the directory to make or update; `run` installs what compiling needs, `test` what the
# tests need too, system packages included; TORCH is the requirement for torch, such as
# "torch==2.13.0".
set -euo pipefail
cd "$(dirname "$0")/.."

venv=$1 kind=$2 torch=$3

# Debian packages that provide the commands named first, installed only where one is missing.
need_commands() {
  local missing=() pair
  for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
  done
  if ((${#missing[@]} == 0)); then return; fi
  local as_root=()
  ((EUID == 0)) || as_root=(sudo)
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

need_commands gcc:gcc gcc:libc6-dev
# Debian keeps what `venv` needs apart from its own Python.
"${PYTHON:-python3}" -c "import ensurepip" 2>/dev/null || need_commands no-ensurepip:python3-venv
if [[ $kind == test ]]; then
  need_commands qemu-aarch64:qemu-user llvm-nm:llvm llvm-mca-19:llvm-19 \
    aarch64-linux-gnu-gcc:gcc-aarch64-linux-gnu aarch64-linux-gnu-gcc:libc6-dev-arm64-cross \
    chromium:chromium chromedriver:chromium-driver
fi

[[ -x $venv/bin/python ]] || "${PYTHON:-python3}" -m venv "$venv"
pip=("$venv/bin/python" -m pip install --quiet --disable-pip-version-check)

# torch goes first, alone: pip then finds a CPU-only wheel where one is configured, and what
# follows (timm asks for torchvision, which asks for one exact torch) must fit that version.
"${pip[@]}" "$torch"
version=$("$venv/bin/python" -c \
  'from importlib.metadata import version; print(version("torch").split("+")[0])')
extras=timm,cross
[[ $kind == run ]] || extras=all
"${pip[@]}" --editable ".[$extras]" "torch==$version"

touch "$venv/.run"
[[ $kind == run ]] || touch "$venv/.test"
