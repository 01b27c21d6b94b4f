#!/usr/bin/env bash
# musl.sh: the core's tests with musl's C library, which this machine runs itself.
source "$(dirname "$0")/common.sh"

port 'core, on this machine'
inside_with CC_x86_64_unknown_linux_musl=musl-gcc \
  cargo test "${release[@]}" --no-fail-fast --lib --tests --package nomyo-core --target x86_64-unknown-linux-musl
