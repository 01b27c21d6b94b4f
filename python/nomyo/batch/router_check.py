"""Checks whether there is a router at an address: before the first row, and if a last row is in doubt."""

from __future__ import annotations

import asyncio
from typing import Final

from nomyo.batch.verdict import describe_failure
from nomyo.client import SecureCompletionClient
from nomyo.errors import APIConnectionError, APIError, BatchError, ConfigurationError, NomyoError, ServerError
from nomyo.exchange.retries import may_pass

_CHECK_S: Final = 10.0


async def check_router(client: SecureCompletionClient) -> bool:
    """Check before the first row what would fail for every row: key files, plain HTTP, pins, the address.

    If the router is away, no error is raised, because the batch waits for it.

    Returns:
        Whether anything answered at the address.

    Raises:
        SecurityError: Plain HTTP without `allow_http`, a key that matches no pin, or key files that cannot be opened.
        OSError: A key file cannot be read.
        BatchError: There is no router at this address, or its certificate is refused.
        ConfigurationError: A setting of this machine prevents the connection.
    """
    await client.wait_for_keys()
    address = client.settings.base_url
    try:
        async with asyncio.timeout(_CHECK_S):
            await client.fetch_server_public_key()
    except APIError as error:
        if may_pass(error.status_code) and not isinstance(error, ServerError):
            return True
        refused = BatchError(describe_failure(error, address), status_code=error.status_code)
    except ConfigurationError:
        raise
    except APIConnectionError as error:
        if not error.untrusted:
            return False
        refused = BatchError(f"{describe_failure(error, address)}: the batch did not begin")
    except TimeoutError:
        return False
    else:
        return True
    raise refused


async def server_key_known(client: SecureCompletionClient) -> bool:
    """Wait until the router's key is known; return whether the router gave it.

    If `server_key_ttl` is 0, nobody is asked here, because each request asks for the key itself.

    Raises:
        NomyoError, OSError: The key could not be fetched.
    """
    await client.wait_for_server_key()
    return client.settings.server_key_ttl > 0


async def router_is_alive(client: SecureCompletionClient) -> bool:
    """Return whether the router gives its key, which it does whenever it runs."""
    try:
        async with asyncio.timeout(_CHECK_S):
            await client.fetch_server_public_key()
    except (NomyoError, OSError):  # TimeoutError is one
        return False
    return True
