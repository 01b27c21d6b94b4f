#!/usr/bin/env bash
# aarch64.sh: the core's tests, and the Python package under Debian's Python, both under qemu's emulation of ARM.
source "$(dirname "$0")/common.sh"
target=aarch64-unknown-linux-gnu
python=$PORTS_DIR/python/aarch64
mkdir -p "$python"
build=(CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc)

register_emulator # not only a runner of cargo's: tests start themselves again

port 'core, under qemu-aarch64'
inside_with bash -c 'aarch64-linux-gnu-gcc -O1 -o "$2" "$1" && "$2"' facilities "$here/facilities.c" "$python/facilities" \
  >"$python/facilities.txt"
inside_with "${build[@]}" \
  cargo test "${release[@]}" --no-fail-fast --lib --tests --package nomyo-core --target "$target" 2>&1 |
  tee "$PORTS_DIR/log/aarch64-core.log" || true # the next line judges it
"$python_here" "$here/limits.py" "$here/qemu.toml" "$python/facilities.txt" "$PORTS_DIR/log/aarch64-core.log" || failed=1

port 'Python package, CPython 3.13 under qemu-aarch64'
site "$python/site" 3.13 manylinux_2_17_aarch64 manylinux2014_aarch64 manylinux_2_28_aarch64
inside_with "${build[@]}" PYO3_NO_PYTHON=1 PYO3_BUILD_EXTENSION_MODULE=1 \
  cargo build "${release[@]}" --package nomyo-python --target "$target"
cp "$PORTS_DIR/build/$target/release/lib_core.so" "$python/site/nomyo/_core.abi3.so"
smoke inside_with PYTHONPATH="$python/site" python3.13 || failed=1
exit "${failed-0}"
