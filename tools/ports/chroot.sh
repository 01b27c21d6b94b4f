#!/usr/bin/env bash
# chroot.sh: makes a chroot of Debian 13 in PORTS_DIR/trixie with what other platforms need. Does nothing if it is there.
#
# Debian 13 is the first one whose Wine (10) has bcryptprimitives.dll, which Rust's standard library loads on Windows.
source "$(dirname "$0")/common.sh"

root=$PORTS_DIR/trixie
[ ! -e "$root/ready" ] || exit 0
command -v debootstrap >/dev/null || { echo 'debootstrap is missing: apt-get install debootstrap' >&2; exit 1; }

packages=(
  gcc libc6-dev make cmake ca-certificates                                 # build scripts, which run on this machine
  gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user                    # ARM: compiler and emulator
  nasm gcc-mingw-w64-x86-64-win32 g++-mingw-w64-x86-64-win32 wine wine64   # Windows
  musl-tools
)
# What the test programs for ARM load, and a Python.
arm_packages=(libc6:arm64 libgcc-s1:arm64 python3-minimal:arm64 libpython3-stdlib:arm64)

install_packages() {
  "$here/inside.sh" env DEBIAN_FRONTEND=noninteractive \
    apt-get install --yes --quiet --no-install-recommends "$@"
}

mkdir -p "$PORTS_DIR"
if [ ! -e "$root/etc/debian_version" ] || [ -e "$root/debootstrap/debootstrap.log" ]; then
  rm -rf "$root" # interrupted
  debootstrap --variant=minbase --include=ca-certificates trixie "$root"
fi
chroot "$root" dpkg --add-architecture arm64
"$here/inside.sh" apt-get update --quiet
install_packages "${packages[@]}"
register_emulator # packages for ARM run programs of their own while they are installed
install_packages "${arm_packages[@]}"
touch "$root/ready"
