"""A program that knows nothing of nomyo, and speaks to `nomyo proxy` as it would to OpenAI.

Start `nomyo proxy` in another terminal (extra `serve`). It prints OPENAI_BASE_URL and OPENAI_API_KEY for this program.
Any OpenAI SDK takes the same two; here it is httpx.
"""

from __future__ import annotations

import os
import sys

import httpx

BASE_URL = os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8800/v1")
MODEL = os.environ.get("NOMYO_MODEL", "Qwen/Qwen3-0.6B")


def main() -> int:
    token = os.environ.get("OPENAI_API_KEY", "")
    request = {"model": MODEL, "messages": [{"role": "user", "content": "Hello through the proxy"}]}
    with httpx.Client(base_url=BASE_URL, headers={"Authorization": f"Bearer {token}"}, timeout=600) as client:
        answer = client.post("/chat/completions", json=request)
    if answer.is_error:
        print(answer.status_code, answer.json()["error"]["message"], file=sys.stderr)
        return 1
    print(answer.json()["choices"][0]["message"]["content"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
