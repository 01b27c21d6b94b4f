#!/bin/sh
# Prints the options by which cargo takes AWS-LC as `make build` compiled it; nothing if it has not.
# Tests are compiled without optimisation at link time, for which cargo compiles all dependencies once more. AWS-LC, whose
# C code is the same, would be half of that: 48 of 105 seconds of processor time. Cargo's book calls this "overriding build
# scripts". The key in the table has AWS-LC's version in it, so cargo ignores what was made of another version.
set -eu
found=$(ls -t target/release/build/aws-lc-sys-*/output 2>/dev/null | head -n 1)
[ -n "$found" ] || exit 0
told() { sed -n "s/^cargo:$1=//p" "$found" | head -n 1; }
library=$(told rustc-link-lib)
archive=$(told libcrypto_path)
[ -n "$library" ] && [ -f "$archive" ] || exit 0
links=${library#static=}
host=$(rustc -vV | sed -n 's/^host: //p')
cat > target/aws-lc.toml <<END
[target.$host.${links%_crypto}]
rustc-link-lib = ['$library']
rustc-link-search = ['$(told rustc-link-search)']
rustc-cfg = ['$(told rustc-cfg)']
include = '$(told include)'
END
echo "--config target/aws-lc.toml"
