"""Talk to an LLM without anyone between you and the model reading a word.

>>> from nomyo import SecureChatCompletion
"""

from __future__ import annotations

import sys
from os import environ as _environ
from typing import TYPE_CHECKING, Any

from .errors import (
    APIConnectionError,
    APIError,
    AttestationError,
    AuthenticationError,
    BatchError,
    ConfigurationError,
    DisposedError,
    ForbiddenError,
    InvalidRequestError,
    NomyoError,
    RateLimitError,
    SecurityError,
    ServerError,
    ServiceUnavailableError,
)

try:
    if "t" in getattr(sys, "abiflags", ""):  # CPython 3.14 without the GIL would load a core for builds that have it
        raise ImportError("the native core is for builds with the GIL", name="nomyo._core")
    from . import _core as _core
except ImportError as _error:
    from ._missing_core import why_missing

    raise ImportError(why_missing(_error), name=_error.name, path=_error.path) from None
from ._core import SecureBuffer
from .attestation import Attestation
from .responses import ChatCompletionResponse, SecureResponse

if TYPE_CHECKING:
    from . import batch
    from ._create_many import Result
    from .chat import SecureChatCompletion, SyncSecureChatCompletion
    from .client import SecureCompletionClient, SyncSecureCompletionClient
    from .memory import (
        ProtectionInfo,
        SecureByteContext,
        disable_secure_memory,
        enable_secure_memory,
        get_memory_protection_info,
        harden_process,
        secure_bytearray,
        secure_bytes,
    )

    getMemoryProtectionInfo = get_memory_protection_info  # noqa: N816
    enableSecureMemory = enable_secure_memory  # noqa: N816
    disableSecureMemory = disable_secure_memory  # noqa: N816

__version__ = "1.0.0"

# Imported when one is first asked for: the clients import the HTTP libraries (over 100 ms), `memory` takes 20 ms.
_IMPORTED_LATE = {
    "SecureChatCompletion": "chat",
    "SyncSecureChatCompletion": "chat",
    "Result": "_create_many",
    "SecureCompletionClient": "client",
    "SyncSecureCompletionClient": "client",
    "ProtectionInfo": "memory",
    "SecureByteContext": "memory",
    "disable_secure_memory": "memory",
    "enable_secure_memory": "memory",
    "get_memory_protection_info": "memory",
    "harden_process": "memory",
    "secure_bytearray": "memory",
    "secure_bytes": "memory",
}
_MODULES = ("batch", "memory")
_NAMES_OF_JAVASCRIPT = {
    "getMemoryProtectionInfo": "get_memory_protection_info",
    "enableSecureMemory": "enable_secure_memory",
    "disableSecureMemory": "disable_secure_memory",
}

__all__ = [
    "APIConnectionError",
    "APIError",
    "Attestation",
    "AttestationError",
    "AuthenticationError",
    "BatchError",
    "ChatCompletionResponse",
    "ConfigurationError",
    "DisposedError",
    "ForbiddenError",
    "InvalidRequestError",
    "NomyoError",
    "ProtectionInfo",
    "RateLimitError",
    "Result",
    "SecureBuffer",
    "SecureByteContext",
    "SecureChatCompletion",
    "SecureCompletionClient",
    "SecureResponse",
    "SecurityError",
    "ServerError",
    "ServiceUnavailableError",
    "SyncSecureChatCompletion",
    "SyncSecureCompletionClient",
    "batch",
    "disableSecureMemory",
    "disable_secure_memory",
    "enableSecureMemory",
    "enable_secure_memory",
    "getMemoryProtectionInfo",
    "get_memory_protection_info",
    "harden_process",
    "secure_bytearray",
    "secure_bytes",
]


def __getattr__(name: str) -> Any:
    """Import a client, what belongs to it, `nomyo.batch`, or what is in `nomyo.memory`, when it is first asked for."""
    from importlib import import_module

    known = _NAMES_OF_JAVASCRIPT.get(name, name)
    if name in _MODULES:
        value: Any = import_module(f".{name}", __name__)
    elif known in _IMPORTED_LATE:
        value = getattr(import_module(f".{_IMPORTED_LATE[known]}", __name__), known)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


# For programs that are not ours to change. Now, while no thread can be at work.
if _environ.get("NOMYO_HIDE_MEMORY", "0") not in ("", "0"):
    __getattr__("memory").hide(stacklevel=2)
