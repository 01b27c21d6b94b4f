"""A router written with `cryptography` alone, which notes the AES keys of both directions and fails on demand."""

from __future__ import annotations

import functools
import json
import ssl
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self
from urllib.parse import unquote

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from support.broken_ends import ENDS
from support.memory_scan import Needle
from support.needles import Text, of_bytes
from support.peer import opened, package_for
from support.tls import Authority

# Beside these, the name of an end that an answer has instead of its own (`broken_ends`).
Conduct = Literal["answer", "wrong tag", "not JSON", "unavailable", "silent"] | str


class NotingRouter:
    """Answers request after request with one text after another, as `conduct` says.

    Args:
        answers: What it says, in turn; JSON-escaped every other time.
        authority: Speaks TLS with its certificate; plain HTTP where None.
    """

    def __init__(self, answers: Sequence[Text], authority: Authority | None = None) -> None:
        self.conduct: Conduct = "answer"
        self.aes_keys: dict[str, list[bytes]] = {"requests": [], "answers": []}
        self.requests: list[Any] = []
        self.received = threading.Event()
        self._answers = answers
        self._end = threading.Event()
        self._key = _router_key()
        router = self

        class Handler(_Handler):
            def answer(self, body: bytes | None) -> None:
                router._answer(self, body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http{'s' if authority else ''}://127.0.0.1:{self._server.server_port}"
        if authority is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(authority.certificate, authority.key)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def needles(self) -> list[Needle]:
        """Return the pieces of all AES keys so far."""
        return [
            needle
            for kind, keys in self.aes_keys.items()
            for key in keys
            for needle in of_bytes(f"AES keys, {kind}", key)
        ]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, handler: _Handler, body: bytes | None) -> None:
        if body is None:
            spki = serialization.PublicFormat.SubjectPublicKeyInfo
            handler.reply(200, self._key.public_key().public_bytes(serialization.Encoding.PEM, spki))
            return
        plaintext, aes_key = opened(self._key, body)
        self.requests.append(json.loads(plaintext))
        self.aes_keys["requests"].append(aes_key)
        self.received.set()
        if self.conduct == "silent":
            self._end.wait()
        elif self.conduct == "unavailable":
            handler.reply(503, b'{"detail": "as the test wants it"}')
        else:
            handler.reply(200, self._sealed(unquote(handler.headers["X-Public-Key"])))

    def _sealed(self, public_key_pem: str) -> bytes:
        number = len(self.aes_keys["answers"])
        text = self._answers[number % len(self._answers)].content
        message = {"role": "assistant", "content": text}
        answer = {"id": f"chat-{number}", "model": "m", "choices": [{"index": 0, "message": message}], "usage": {}}
        aes_key = AESGCM.generate_key(256)
        self.aes_keys["answers"].append(aes_key)
        plaintext = text if self.conduct == "not JSON" else json.dumps(answer, ensure_ascii=number % 2 == 1)
        if self.conduct in ENDS:
            plaintext = ENDS[self.conduct](plaintext)
        package = package_for(public_key_pem, plaintext.encode(), aes_key=aes_key)
        if self.conduct == "wrong tag":
            package["encrypted_payload"]["tag"] = "AAAAAAAAAAAAAAAAAAAAAA=="
        return json.dumps(package).encode()


@functools.cache
def _router_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body: bytes | None) -> None:
        raise NotImplementedError

    def do_GET(self) -> None:
        self.answer(None)

    def do_POST(self) -> None:
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""
