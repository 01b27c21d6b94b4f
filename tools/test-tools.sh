#!/bin/sh
# Installs what `make test-all` uses beside Python and Rust, where it is missing and apt-get has it: gdb writes core dumps, valgrind knows no hidden memory, strace counts
# and fails system calls, openssl reads key files, swtpm and tpm2-tools make quotes of a TPM, curl and OpenAI's SDK for Node.js (20 or later) talk to the proxy, Chromium opens
# its page, systemd-analyze reads the unit. None of them is part of a Rust or Python image.
has() {
    for program in "$@"; do
        if command -v "$program" >/dev/null; then return 0; fi
    done
    return 1
}

packages=
has gcore || packages="$packages gdb"
has valgrind || packages="$packages valgrind"
has strace || packages="$packages strace"
has openssl || packages="$packages openssl"
has swtpm || packages="$packages swtpm"
has tpm2_quote || packages="$packages tpm2-tools"
has curl || packages="$packages curl"
has systemd-analyze || packages="$packages systemd"
has npm || packages="$packages npm"
has chromium chromium-browser google-chrome || packages="$packages chromium"
[ -n "$packages" ] || exit 0

echo "Installing$packages."
apt-get update -qq >/dev/null
for package in $packages; do
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$package" >/dev/null ||
        echo "$package could not be installed: tests that need it will fail" >&2
done
