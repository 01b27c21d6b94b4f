#!/usr/bin/env bash
# inside.sh COMMAND...: runs a command in the chroot of PORTS_DIR, in the repository, with this machine's Rust.
#
# The mounts belong to a namespace of this command (unshare(1)): they are gone when it ends, however it ends.
set -euo pipefail

if [ "${NOMYO_PORTS_NAMESPACE-}" != own ]; then
  NOMYO_PORTS_NAMESPACE=own exec unshare --mount --propagation private -- "$0" "$@"
fi

root=$PORTS_DIR/trixie
repository=$(cd "$(dirname "$0")/../.." && pwd)
cargo=${CARGO_HOME:-$HOME/.cargo}
rustup=${RUSTUP_HOME:-$HOME/.rustup}

# The repository goes first: PORTS_DIR, and with it the chroot, may lie in it.
mount -t proc proc "$root/proc"
for folder in /dev "$repository" "$cargo" "$rustup" "$PORTS_DIR/build" "$PORTS_DIR/python" "$PORTS_DIR/wine"; do
  mkdir -p "$folder" "$root$folder"
  mount --bind "$folder" "$root$folder"
done
cp /etc/resolv.conf "$root/etc/resolv.conf"

kept=()
for name in RUSTUP_TOOLCHAIN CARGO_BUILD_JOBS CARGO_PROFILE_RELEASE_OPT_LEVEL; do
  [ -z "${!name-}" ] || kept+=("$name=${!name}")
done
exec chroot "$root" /usr/bin/env -i HOME=/root LANG=C.UTF-8 CARGO_HOME="$cargo" RUSTUP_HOME="$rustup" \
  PATH="$cargo/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin" PORTS_DIR="$PORTS_DIR" "${kept[@]}" \
  /bin/bash -c 'cd "$1"; shift; exec "$@"' inside "$repository" "$@"
