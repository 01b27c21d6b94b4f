"""Checks the TLS files of a server before it starts, because OpenSSL's errors do not name the file."""

from __future__ import annotations

import os
import ssl
import stat

from nomyo._files.opening import at_once
from nomyo.serve.listener import Listener


def check_tls_files(listener: Listener) -> None:
    """Refuse files of a listener that cannot be served with.

    Args:
        listener: May have none.

    Raises:
        OSError: One cannot be read.
        ValueError: They are no certificate chain and its key.
    """
    if listener.tls_cert is None or listener.tls_key is None:
        return
    for path in (listener.tls_cert, listener.tls_key):
        with open(path, "rb", opener=at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ValueError(f"{path} must be a regular file: it is read more than once")
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(listener.tls_cert, listener.tls_key)
    except ssl.SSLError:
        words = f"{listener.tls_cert} and {listener.tls_key} are no certificate chain and its key, as PEM"
        raise ValueError(words) from None
