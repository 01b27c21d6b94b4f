"""The options of `generate_keys`: keywords, or a mapping of options as the JavaScript client takes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .paths import absolute_path, check_path
from .settings import DEFAULT_KEY_DIR, Default, Password, Settings, check_key_size, check_password

_JAVASCRIPT_NAMES: Final = {"keySize": "key_size", "saveToFile": "save_to_file", "keyDir": "key_dir"}
_DEFAULTS: Final[Mapping[str, Any]] = {
    "key_size": None,
    "save_to_file": False,
    "key_dir": DEFAULT_KEY_DIR,
    "password": None,
}


class NewKeys:
    """What pair to generate, and where to write it.

    Args:
        bits: The size of the pair.
        directory: The directory to write it to; None keeps it in memory.
        password: For the file of the private key.
    """

    __slots__ = ("bits", "directory", "password")

    def __init__(self, bits: int, directory: str | None, password: Password | None) -> None:
        self.bits = bits
        self.directory = directory
        self.password = password


def new_keys(settings: Settings, options: Mapping[str, Any] | None, named: Mapping[str, Any]) -> NewKeys:
    """Check the options and return them; if a file gets no password of its own, it gets the client's.

    Args:
        settings: The client's.
        options: The options as one mapping; None in it means the default.
        named: The options as keywords; one that differs from its default takes precedence over the mapping.

    Raises:
        TypeError, ValueError: An option does not exist, has the wrong type, or is out of range.
    """
    given = {name: value for name, value in named.items() if value is not _DEFAULTS[name]}
    wanted = {**_DEFAULTS, **_in_python(options), **given}
    bits = settings.key_size if wanted["key_size"] is None else wanted["key_size"]
    check_key_size(bits)
    check_password("password", wanted["password"])
    if not isinstance(wanted["save_to_file"], bool):
        raise TypeError(f"save_to_file must be a bool, not {type(wanted['save_to_file']).__name__}")
    check_path("key_dir", wanted["key_dir"])
    if not wanted["save_to_file"]:
        return NewKeys(bits, None, None)
    # The default directory is relative to where the client was made, as the client's other directories are.
    below = settings.made_in if isinstance(wanted["key_dir"], Default) else None
    directory = absolute_path("key_dir", wanted["key_dir"], below)
    password = settings.key_rotation_password if wanted["password"] is None else wanted["password"]
    return NewKeys(bits, directory, password)


def _in_python(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a mapping of options under their Python names, without those that are None."""
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise TypeError(f"the options must be a mapping, not {type(options).__name__}")
    found: dict[str, Any] = {}
    for given, value in options.items():
        name = _JAVASCRIPT_NAMES.get(given, given)
        if name not in _DEFAULTS:
            raise TypeError(f"there is no option {given!r}; there are {', '.join(_DEFAULTS)}")
        if name in found:
            raise TypeError(f"{name} is given twice, under both of its names")
        found[name] = value
    return {name: value for name, value in found.items() if value is not None}
