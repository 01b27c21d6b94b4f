"""Talk to an LLM without anyone between you and the model reading a word.

>>> from nomyo import SecureChatCompletion
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import (
    APIConnectionError,
    APIError,
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
    from . import _core as _core
except ImportError as _error:
    if "failed to map segment" not in str(_error):
        raise
    _limits = "raise the limits RLIMIT_AS (`ulimit -v`) and RLIMIT_DATA (`ulimit -d`)"
    raise ImportError(f"there is not enough memory to load nomyo: {_limits} ({_error})") from None
from .memory import (
    ProtectionInfo,
    SecureBuffer,
    SecureByteContext,
    disable_secure_memory,
    enable_secure_memory,
    get_memory_protection_info,
    harden_process,
    secure_bytearray,
    secure_bytes,
)
from .responses import ChatCompletionResponse, SecureResponse

if TYPE_CHECKING:
    from . import batch
    from ._create_many import Result
    from .chat import SecureChatCompletion, SyncSecureChatCompletion
    from .client import SecureCompletionClient, SyncSecureCompletionClient

__version__ = "1.0.0"

# The names of the JavaScript client.
getMemoryProtectionInfo = get_memory_protection_info  # noqa: N816
enableSecureMemory = enable_secure_memory  # noqa: N816
disableSecureMemory = disable_secure_memory  # noqa: N816

# Importing the clients imports the HTTP libraries (over 100 ms): done when one is first asked for.
_IMPORTED_LATE = {
    "batch": "batch",
    "SecureChatCompletion": "chat",
    "SyncSecureChatCompletion": "chat",
    "Result": "_create_many",
    "SecureCompletionClient": "client",
    "SyncSecureCompletionClient": "client",
}

__all__ = [
    "APIConnectionError",
    "APIError",
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
    """Import a client, what belongs to it, and `nomyo.batch`, when it is first asked for."""
    if name not in _IMPORTED_LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module = import_module(f".{_IMPORTED_LATE[name]}", __name__)
    value = module if name == "batch" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
