"""An OpenAI-compatible server whose model works through a task with the tools that an agent offers it.

It has the agent read a file by its shell, write another one by its tool for that, and then says what it read. It knows
the content of the file only from what the shell's tool returned.
"""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

SOURCE, COPY = "note.txt", "copy.txt"
CONTENT = re.compile(r"content-[a-z]{24}")
ANSWER = "answer-{}-of-the-model"


class ScriptedModel:
    """The server, on a free port, while a `with` block lasts.

    Args:
        shell: The name of the tool that runs a command, and the parameter that takes the command.
        writer: The name of the tool that writes a file, and the arguments with which it writes a text to `COPY`.
    """

    def __init__(self, shell: tuple[str, dict[str, Any]], writer: tuple[str, dict[str, Any]]) -> None:
        self.requests: list[dict[str, Any]] = []
        """The bodies of all requests, as the router sent them."""
        self._shell = shell
        self._writer = writer
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        model = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                model.requests.append(request)
                body = json.dumps(_completion(request["model"], model._message(request))).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def _message(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the next message: by the tools that are offered, and by those that were called."""
        if not request.get("tools"):
            return {"role": "assistant", "content": "A side task"}
        results = [_text(message) for message in request["messages"] if message["role"] == "tool"]
        if not results:
            return _call(self._shell)
        found = CONTENT.search(results[0])
        if not found:
            return {"role": "assistant", "content": "The shell's tool did not show the file."}
        if len(results) == 1:
            name, arguments = self._writer
            return _call((name, {key: value.replace("TEXT", found[0]) for key, value in arguments.items()}))
        return {"role": "assistant", "content": f"The file says {ANSWER.format(found[0])}."}


def _call(call: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    function = {"name": call[0], "arguments": json.dumps(call[1])}
    return {"role": "assistant", "content": None, "tool_calls": [_tool_call(function)]}


def _tool_call(function: dict[str, Any]) -> dict[str, Any]:
    return {"id": f"call_{function['name']}", "type": "function", "function": function}


def _text(message: dict[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _completion(model: str, message: dict[str, Any]) -> dict[str, Any]:
    reason = "tool_calls" if "tool_calls" in message else "stop"
    return {
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }
