"""The TLS files of a server, looked at before it starts: OpenSSL's errors do not name the file."""

from __future__ import annotations

import ssl

import typer

from nomyo.serve.listener import Listener
from nomyo.terminal.command_app import FAILED, tell_failure


def check_tls_files(name: str, listener: Listener) -> None:
    """Refuse files of a listener that cannot be served with.

    Args:
        name: Of the command.
        listener: May have none.

    Raises:
        typer.Exit: One cannot be read, which has been told.
        typer.BadParameter: They are no certificate chain and its key.
    """
    if listener.tls_cert is None or listener.tls_key is None:
        return
    try:
        for path in (listener.tls_cert, listener.tls_key):
            with open(path, "rb"):
                pass
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(listener.tls_cert, listener.tls_key)
    except ssl.SSLError:
        words = f"{listener.tls_cert} and {listener.tls_key} are no certificate chain and its key, as PEM"
        raise typer.BadParameter(words, param_hint="--tls-cert, --tls-key") from None
    except OSError as error:
        tell_failure(name, error)
        raise typer.Exit(FAILED) from None
