"""The one place that names the HTTP library: httpx, over aiohttp where there is an event loop.

Rules, for both twins:

- One pooled client for a client's lifetime (and event loop), made on first use.
- No redirect is followed, no compressed body is unpacked, and no more is read than the bound.
- Whatever goes wrong on the way becomes a `NetworkFailure`, a value: an exception of the HTTP
  library would carry the request, and with it the API key, in its context.
"""

from __future__ import annotations

from .clients import AsyncHttp, SyncHttp

__all__ = ["AsyncHttp", "SyncHttp"]
