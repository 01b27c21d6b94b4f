#!/bin/sh
# Reads secrets from files into the environment: NOMYO_API_KEY_FILE=/run/secrets/api_key stands for NOMYO_API_KEY. Containers get
# secrets as files, since `docker inspect` shows variables. The process that this becomes hides its environment (harden_process).
set -eu

# read_secret NAME: sets NAME to the content of the file that NAME_FILE names.
read_secret() {
    eval "file=\${$1_FILE-} value=\${$1-}"
    [ -n "$file" ] || return 0
    if [ -n "$value" ]; then
        echo "nomyo: $1 and $1_FILE are both set; unset one of them" >&2
        exit 2
    fi
    if ! value=$(cat -- "$file"); then
        echo "nomyo: the file of $1_FILE cannot be read as user $(id -u); give that user the right to read it" >&2
        exit 1
    fi
    if [ -z "$value" ]; then
        echo "nomyo: the file of $1_FILE is empty; it should hold the value of $1" >&2
        exit 2
    fi
    export "$1=$value"
    unset "$1_FILE"
}

read_secret NOMYO_API_KEY
read_secret NOMYO_PROXY_TOKEN
read_secret NOMYO_ROUTER_API_KEYS
read_secret NOMYO_ROUTER_UPSTREAM_API_KEY
exec "$@"
