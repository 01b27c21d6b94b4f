"""A program that uses Anthropic's SDK: one import differs, `nomyo.anthropic` for `anthropic`.

Needs the extra `anthropic`.
"""

from __future__ import annotations

import os

from nomyo.anthropic import Anthropic

MODEL = os.environ.get("NOMYO_MODEL", "Qwen/Qwen3-0.6B")
# Plain HTTP for `nomyo router` on this machine alone: any other address without https:// is refused.
LOCAL = os.environ.get("NOMYO_BASE_URL", "").startswith("http://127.0.0.1:")


def main() -> None:
    with Anthropic(allow_http=LOCAL) as client:
        message = client.messages.create(
            model=MODEL, max_tokens=500, messages=[{"role": "user", "content": "Hello from Anthropic's SDK"}]
        )
    print("".join(block.text for block in message.content if block.type == "text"))


if __name__ == "__main__":
    main()
