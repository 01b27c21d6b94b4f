"""The TLS files that a command serves with."""

from __future__ import annotations

import typer

from nomyo.cli.command_app import FAILED, report_failure
from nomyo.serve.listener import Listener
from nomyo.serve.tls_files import check_tls_files


def refuse_unusable_tls_files(name: str, listener: Listener) -> None:
    """Refuse files of a listener that cannot be served with, as a mistake in what the command was given.

    Args:
        name: The command's name.
        listener: The listener, with or without TLS files.

    Raises:
        typer.Exit: A file cannot be read; this was reported.
        typer.BadParameter: The files are not a certificate chain and its key.
    """
    try:
        check_tls_files(listener)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--tls-cert, --tls-key") from None
    except OSError as error:
        report_failure(name, error)
        raise typer.Exit(FAILED) from None
