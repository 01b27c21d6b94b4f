#!/usr/bin/env bash
# musl_python.sh MACHINE FOLDER: makes FOLDER/MACHINE, a root folder with musl and CPython 3.11 and nothing else, for x86_64 or
# aarch64. Does nothing if it is there.
#
# No registry that the project builds from has a Python for musl. So this compiles Debian's sources, with zig: CPython, and what
# the standard library needs of others. musl itself is Debian's binary. Takes apt with Debian's lists, make, perl, readelf and
# some minutes. PYTHON is a CPython 3.11 that has the package ziglang.
set -euo pipefail

machine=$1
root=$2/$1
work=$2/build-$1
sources=$2/sources
python=$root/usr
[ ! -e "$root/ready" ] || exit 0
declare -A debian=([x86_64]=amd64 [aarch64]=arm64)

# Lists of apt's own for one release of Debian, with its sources, for both machines.
prepare_apt() {
  local mirror
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | sort | head -n 1)
  mkdir -p "$sources/lists/partial"
  for kind in deb deb-src; do
    echo "$kind [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bookworm main"
  done >"$sources/sources.list"
  cat >"$sources/apt.conf" <<END
Dir::Etc::SourceList "$sources/sources.list";
Dir::Etc::SourceParts "-";
Dir::State::Lists "$sources/lists";
Dir::Cache "$sources";
APT::Architectures {"amd64"; "arm64";};
APT::Sandbox::User "";
END
  export APT_CONFIG=$sources/apt.conf
  apt-get update --quiet=2
}

# compilers: programs that call zig for the machine; a compiler's name must be one word for zlib and OpenSSL.
compilers() {
  local zig tool
  zig=$("$PYTHON" -c 'import pathlib, ziglang; print(pathlib.Path(ziglang.__file__).with_name("zig"))')
  mkdir -p "$work/bin"
  for tool in ar ranlib; do
    printf '#!/bin/sh\nexec "%s" %s "$@"\n' "$zig" "$tool" >"$work/bin/$tool"
  done
  # Asked in this way where headers are, zig names folders of this machine, which CPython would use.
  cat >"$work/bin/cc" <<END
#!/bin/sh
[ "\$*" != '-E -v -' ] || exit 1
exec "$zig" cc -target $machine-linux-musl -dynamic -g0 -w "\$@"
END
  chmod +x "$work/bin/"*
  export PATH="$work/bin:$PATH" CC=cc CFLAGS=-O1 AR=ar RANLIB=ranlib READELF # -O1: this runs one example
  READELF=$(command -v readelf) # CPython takes no bare name of a program for another machine
}

# unpack PACKAGE: Debian's source of it, into the folder that follows.
unpack() {
  (cd "$sources" && apt-get source --quiet=2 --download-only "$1/bookworm")
  rm -rf "$work/$1"
  mkdir -p "$work/$1"
  tar --extract --strip-components=1 --directory "$work/$1" --file "$(ls "$sources/$1"_*.orig.tar.*[!c])"
  cd "$work/$1"
}

prepare_apt
compilers
for package in zlib libffi openssl python3.11; do unpack "$package"; done

cd "$work/zlib"
./configure --static --prefix="$work/libraries"
make --silent --jobs=2 install

cd "$work/libffi"
export lt_cv_prog_compiler_static_works=no # the test of it would have zig compile all of musl
./configure --quiet --host="$machine-linux-musl" --prefix="$work/libraries" --disable-shared --disable-docs \
  --disable-exec-static-tramp
make --silent --jobs=2 install

cd "$work/openssl"
./Configure "linux-$machine" --prefix="$work/libraries" --libdir=lib --openssldir=/etc/ssl no-shared no-tests no-engine
make --silent --jobs=2 build_libs
make --silent install_dev

cd "$work/python3.11"
# What `configure` would find out by running a program for the machine; the same wherever there is musl.
export ac_cv_file__dev_ptmx=yes ac_cv_file__dev_ptc=no ac_cv_buggy_getaddrinfo=no
export ac_cv_func_preadv2=no ac_cv_func_pwritev2=no # zig's musl has them, older ones do not
CPPFLAGS="-I$work/libraries/include" LDFLAGS="-L$work/libraries/lib" ./configure --quiet --prefix=/usr \
  --host="$machine-linux-musl" --build="$(uname -m)-linux-gnu" --with-build-python="$PYTHON" \
  --with-openssl="$work/libraries" --disable-test-modules --without-ensurepip
make --silent --jobs=2
make --silent install DESTDIR="$root"

(cd "$sources" && apt-get download --quiet=2 "musl:${debian[$machine]}")
dpkg-deb --extract "$sources"/musl_*_"${debian[$machine]}".deb "$root"
touch "$root/ready"
