"""A program that uses the OpenAI SDK and prints a stream: one import differs, `nomyo.openai` for `openai`.

Needs the extra `openai`. The stream is that of the whole answer: an answer is opened only when all of it has arrived.
"""

from __future__ import annotations

import os

from nomyo.openai import OpenAI

MODEL = os.environ.get("NOMYO_MODEL", "Qwen/Qwen3-0.6B")
# Plain HTTP for `nomyo router` on this machine alone: any other address without https:// is refused.
LOCAL = os.environ.get("NOMYO_BASE_URL", "").startswith("http://127.0.0.1:")


def main() -> None:
    with OpenAI(allow_http=LOCAL) as client:
        stream = client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "Hello from the SDK"}], stream=True
        )
        for chunk in stream:
            for choice in chunk.choices:
                print(choice.delta.content or "", end="")
    print()


if __name__ == "__main__":
    main()
