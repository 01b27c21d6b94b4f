#!/usr/bin/env bash
# macos.sh: compiles and links the core's tests and the extension for both kinds of Mac, with zig. Nothing is run.
source "$(dirname "$0")/common.sh"
zig=$PORTS_DIR/python/zig

if [ ! -x "$zig/bin/cargo-zigbuild" ]; then
  "$python_here" -m venv "$zig"
  "$zig/bin/python" -m pip install --quiet --disable-pip-version-check cargo-zigbuild ziglang
fi
export PATH="$zig/bin:$PATH" CARGO_TARGET_DIR="$PORTS_DIR/build"
cd "$repository"

for target in aarch64-apple-darwin x86_64-apple-darwin; do
  port "$target: test programs that were linked, not run"
  cargo-zigbuild test --no-run "${release[@]}" --lib --tests --package nomyo-core --target "$target" 2>&1 | tee "$PORTS_DIR/log/$target"
  # One for each program, so that the table counts them.
  echo "linked: $(grep -c '^  Executable ' "$PORTS_DIR/log/$target")"
  # An extension finds Python's own names when it is loaded.
  PYO3_NO_PYTHON=1 PYO3_BUILD_EXTENSION_MODULE=1 cargo-zigbuild rustc "${release[@]}" --package nomyo-python --target "$target" -- \
    -C link-arg=-undefined -C link-arg=dynamic_lookup
  file -L "$PORTS_DIR/build/$target/release/lib_core.dylib" || true
done
