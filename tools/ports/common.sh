# What the scripts of all platforms share; sourced by them.
#
# A line `PORT what` in a log begins a row of the table; the rows of `test result:` below it are counted.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)
python_here=$repository/.venv/bin/python
# As the wheel is built, but not optimised at link time, and in several units: each of some 25 test programs is linked.
release=(--release --locked --config 'profile.release.lto="off"' --config 'profile.release.codegen-units=16')

port() { printf '\nPORT %s\n' "$*"; }

# inside_with VARIABLE=VALUE... COMMAND...: runs a command in the chroot, with a folder of its own for what it builds.
inside_with() { "$here/inside.sh" env CARGO_TARGET_DIR="$PORTS_DIR/build" "$@"; }

# site FOLDER PYTHON PIP_PLATFORM...: the package's Python code, and the wheels of others for another platform, those of the extra
# `data` too.
site() {
  local folder=$1 version=$2 platform options=()
  shift 2
  for platform in "$@"; do options+=(--platform "$platform"); done
  mapfile -t needed < <("$python_here" -c 'import sys, tomllib
project = tomllib.load(open(sys.argv[1], "rb"))["project"]
print(*project["dependencies"], *project["optional-dependencies"]["data"], sep="\n")' "$repository/pyproject.toml")
  rm -rf "$folder"
  "$python_here" -m pip install --quiet --disable-pip-version-check --only-binary=:all: --python-version "$version" \
    "${options[@]}" --target "$folder" "${needed[@]}"
  cp -r "$repository/python/nomyo" "$folder/nomyo"
  rm -f "$folder"/nomyo/_core.*.so "$folder"/nomyo/_core*.pyd
}

# smoke COMMAND...: smoke.py under another platform's Python, against a router that runs here.
smoke() {
  local scratch=$PORTS_DIR/python/scratch router url code=0
  rm -rf "$scratch"
  mkdir -p "$scratch"
  "$repository/.venv/bin/nomyo" router --port 0 --key-bits 2048 --log-level error >"$scratch.router" &
  router=$!
  until grep -q '^nomyo router ready' "$scratch.router"; do
    kill -0 "$router" || return 1
    sleep 0.2
  done
  url=$(sed -n 's/.* url=\([^ ]*\).*/\1/p' "$scratch.router")
  "$@" "$here/smoke.py" "$url" "$scratch" || code=$?
  kill "$router"
  return "$code"
}

# register_emulator: tells the kernel which emulator runs ARM's programs (binfmt_misc), as long as this script runs. F: the
# kernel opens the emulator now, and needs no path to it in a chroot.
register_emulator() {
  local binfmt=/proc/sys/fs/binfmt_misc
  [ -e "$binfmt/register" ] || mount -t binfmt_misc binfmt_misc "$binfmt"
  ! grep -qs '^interpreter .*qemu-aarch64' "$binfmt"/* || return 0
  printf '%s' ':nomyo-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00' \
    ':\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff' \
    ":$PORTS_DIR/trixie/usr/bin/qemu-aarch64:F" >"$binfmt/register"
  trap 'echo -1 >/proc/sys/fs/binfmt_misc/nomyo-aarch64' EXIT
}
