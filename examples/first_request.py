"""One request, and its answer.

`python first_request.py "What is RSA-OAEP?"`. The API key is NOMYO_API_KEY, the router NOMYO_BASE_URL.
"""

from __future__ import annotations

import os
import sys

from nomyo import SyncSecureChatCompletion

MODEL = os.environ.get("NOMYO_MODEL", "Qwen/Qwen3-0.6B")
# Plain HTTP for `nomyo router` on this machine alone: any other address without https:// is refused.
LOCAL = os.environ.get("NOMYO_BASE_URL", "").startswith("http://127.0.0.1:")


def main() -> None:
    prompt = " ".join(sys.argv[1:]) or "Hello! How are you?"
    with SyncSecureChatCompletion(allow_http=LOCAL) as client:
        answer = client.create(model=MODEL, messages=[{"role": "user", "content": prompt}])
    print(answer.choices[0].message.content)


if __name__ == "__main__":
    main()
