#!/usr/bin/env bash
# run.sh [aarch64|windows|musl|macos]...: builds and tests the package for other platforms; all of them if none is named.
#
# Needs root, Debian, rustup, debootstrap, mvn, `make setup`, and some 6 GB below PORTS_DIR, by default target/ports. What
# is there already is used again. Each platform has a log in PORTS_DIR/log; a table stands at the end.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export PORTS_DIR=${PORTS_DIR:-$here/../../target/ports}
mkdir -p "$PORTS_DIR"/{build,log,python,wine}
PORTS_DIR=$(cd "$PORTS_DIR" && pwd)

[ "$(id -u)" = 0 ] || { echo 'make ports needs root: it makes a chroot and mounts file systems' >&2; exit 1; }
for needed in debootstrap rustup unshare; do
  command -v "$needed" >/dev/null || { echo "$needed is missing, which make ports needs" >&2; exit 1; }
done
[ $# -gt 0 ] || set -- aarch64 windows musl macos
"$here/chroot.sh" >"$PORTS_DIR/log/chroot.log" 2>&1 || { tail -5 "$PORTS_DIR/log/chroot.log" >&2; exit 1; }
rustup --quiet target add aarch64-unknown-linux-gnu x86_64-pc-windows-gnu x86_64-unknown-linux-musl \
  aarch64-apple-darwin x86_64-apple-darwin || exit 1

# A row for each `PORT` line of a log: what was run, and the sums of cargo's and smoke.py's counts. Of each program the last
# result counts: those above it are of tests that its tests started. A failure that limits.py excuses is counted apart.
rows() {
  awk -v platform="$1" '
    function settle() { passed += p; failed += f; p = f = 0 }
    function row() {
      settle()
      if (what != "")
        printf "%-9s %-58s %5d %6d %6d %7d\n", platform, what, passed + failed, passed, failed - excused, excused
    }
    /^PORT / { row(); what = substr($0, 6); passed = failed = excused = 0 }
    /^ +Running / { settle() }
    /^test result: / {
      for (i = 2; i <= NF; i++) { if ($i ~ /^passed/) p = $(i - 1); if ($i ~ /^failed/) f = $(i - 1) }
    }
    /^linked: / { what = what " (" $2 ")" }
    /^excused: / { excused = $2 }
    END { row() }' "$2"
}

code=0
table=$(printf '%-9s %-58s %5s %6s %6s %7s' platform what run passed failed excused)
for platform in "$@"; do
  log=$PORTS_DIR/log/$platform.log
  echo "$platform: see $log"
  if ! "$here/$platform.sh" >"$log" 2>&1; then
    code=1
    echo "$platform did not pass; the end of its log:"
    tail -20 "$log"
  fi
  table+=$'\n'$(rows "$platform" "$log")
done
echo "$table" | tee "$PORTS_DIR/log/table"
exit "$code"
