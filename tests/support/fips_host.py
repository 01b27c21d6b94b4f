"""`nomyo` on a host in FIPS mode: digests that OpenSSL's FIPS provider does not have are refused as OpenSSL refuses.

Run as a program: `python fips_host.py [--refuse NAME] [nomyo's arguments]`. What is kept is what FIPS 180-4, FIPS 202
and SP 800-132 allow; with `usedforsecurity=False` everything is there (OpenSSL's property query `-fips`).
"""

from __future__ import annotations

import hashlib
import hmac
import sys
from collections.abc import Callable
from typing import Any

REFUSED = ("md5", "blake2b", "blake2s", "scrypt")


def become_fips_host(*also: str) -> None:
    """Refuse what such a host refuses, and further functions of `hashlib`."""
    for name in (*REFUSED, *also):
        setattr(hashlib, name, _refusing(name, getattr(hashlib, name)))
    hashlib.new = _by_name(hashlib.new)
    hmac.new = _by_name(hmac.new, place=2)
    hmac.digest = _by_name(hmac.digest, place=2)


def _refuse() -> None:
    raise ValueError("[digital envelope routines] unsupported")


def _refusing(name: str, allowed: Callable[..., Any]) -> Callable[..., Any]:
    def digest(*args: Any, **options: Any) -> Any:
        if name == "scrypt" or options.get("usedforsecurity", True):
            _refuse()
        return allowed(*args, **options)

    return digest


def _by_name(allowed: Callable[..., Any], place: int = 0) -> Any:
    def digest(*args: Any, **options: Any) -> Any:
        named = (
            args[place] if len(args) > place else options.get("name", options.get("digestmod", options.get("digest")))
        )
        if named in REFUSED and options.get("usedforsecurity", True):
            _refuse()
        return allowed(*args, **options)

    return digest


def main() -> None:
    arguments = sys.argv[1:]
    also = []
    if arguments[:1] == ["--refuse"]:
        also, arguments = [arguments[1]], arguments[2:]
    become_fips_host(*also)
    from nomyo.cli import main as nomyo

    sys.exit(nomyo(arguments))


if __name__ == "__main__":
    main()
