#!/bin/sh
# Checks that this machine has what `make setup` needs; says in words what is missing, and how to get it.
# Usage: prerequisites.sh PYTHON VENV, from the root of the repository.
python=$1
venv=$2
missing=0

refuse() {
    printf '%s\n' "$@" >&2
    missing=1
}

# Whether version $1 (like 1.89.0) is at least version $2 (like 1.89).
at_least() {
    major=${1%%.*} rest=${1#*.}
    [ "$major" -gt "${2%%.*}" ] || { [ "$major" -eq "${2%%.*}" ] && [ "${rest%%[!0-9]*}" -ge "${2#*.}" ]; }
}

# What a file says behind `$2 = `, without quotes. By the shell alone: a PATH without Python may have no sed either.
said_in() {
    [ -r "$1" ] || return 0
    while IFS= read -r line; do
        case $line in "$2 = "*)
            line=${line#"$2 = "}
            line=${line#\"}
            printf '%s\n' "${line%\"}"
            return ;;
        esac
    done <"$1"
}

needed_python=$(said_in pyproject.toml requires-python)
needed_python=${needed_python#>=}
needed_rust=$(said_in Cargo.toml rust-version)

if ! command -v "$python" >/dev/null; then
    refuse "Python $needed_python or later is missing: there is no \`$python\`." \
        "Install it, or name another: make setup PYTHON=/path/to/python3.12"
elif ! version=$("$python" -I -S -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null); then
    refuse "\`$python\` does not run. Python $needed_python or later is needed."
elif ! at_least "$version" "$needed_python"; then
    refuse "\`$python\` is Python $version, and Python $needed_python or later is needed." \
        "Install it, or name another: make setup PYTHON=/path/to/python3.12"
elif [ -e "$venv" ]; then
    made_by=$(said_in "$venv/pyvenv.cfg" version)
    minor=${made_by#*.}
    made_by=${made_by:+${made_by%%.*}.${minor%%.*}}
    runs=$("$venv/bin/python" -I -S -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
    if [ "$made_by" != "$version" ] || [ "$runs" != "$version" ]; then
        refuse "$venv was made by another Python (${made_by:-unknown}${runs:-, which is gone}), and \`$python\` is Python $version." \
            "Have it made anew (rm -rf $venv), or name the Python it was made by: make setup PYTHON=/path/to/python${made_by:-3.12}"
    fi
elif ! "$python" -I -c 'import ensurepip, venv' 2>/dev/null; then
    refuse "\`$python\` cannot make virtual environments: its module ensurepip is missing (Debian: apt-get install python3-venv)."
fi

if ! command -v cargo >/dev/null; then
    refuse "Rust $needed_rust or later is missing: there is no \`cargo\`. https://rustup.rs installs it."
elif ! version=$(cargo --version 2>/dev/null); then
    refuse "\`cargo\` does not run. Rust $needed_rust or later is needed; https://rustup.rs installs it."
else
    version=${version#cargo }
    at_least "${version%% *}" "$needed_rust" ||
        refuse "\`cargo\` is of Rust ${version%% *}, and Rust $needed_rust or later is needed: rustup update stable"
fi

compiler=${CC:-cc}
if ! command -v "${compiler%% *}" >/dev/null; then
    refuse "A C compiler is missing: there is no \`$compiler\` (Debian: apt-get install gcc libc6-dev)."
elif ! printf '#include <stdlib.h>\nint main(void) { return 0; }\n' | $compiler -x c -fsyntax-only - 2>/dev/null; then
    refuse "\`$compiler\` compiles no C program: are the headers of the C library installed (Debian: apt-get install libc6-dev)?"
fi

exit $missing
