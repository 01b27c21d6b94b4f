"""An application that gives every request the same answer."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send


def one_answer(size_bytes: int, *, says_its_length: bool = False) -> ASGIApp:
    """Return an application that answers with so many zeros, in one piece."""
    headers = [(b"content-length", str(size_bytes).encode())] if says_its_length else []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for step in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{step}.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": bytes(size_bytes)})

    return application
