"""Be sure which router reads your requests: pin its key, or at least notice that it has changed.

If its operator told you the fingerprint of its key, put it into ROUTER_FINGERPRINT: no other key is used then. Without
it, the first key that the router shows is remembered in the file `known_routers`, and another one is refused later.
"""

from __future__ import annotations

import os
import sys

from nomyo import SecurityError, SyncSecureChatCompletion

MODEL = os.environ.get("NOMYO_MODEL", "Qwen/Qwen3-0.6B")
# Plain HTTP for `nomyo router` on this machine alone: any other address without https:// is refused.
LOCAL = os.environ.get("NOMYO_BASE_URL", "").startswith("http://127.0.0.1:")


def main() -> int:
    fingerprint = os.environ.get("ROUTER_FINGERPRINT")  # SHA256:...
    with SyncSecureChatCompletion(
        allow_http=LOCAL, server_key_fingerprint=fingerprint, known_routers="known_routers"
    ) as client:
        try:
            answer = client.create(model=MODEL, messages=[{"role": "user", "content": "Hello, known router!"}])
        except SecurityError as error:
            if not error.router_key:
                raise
            print("nothing was sent:", error, file=sys.stderr)
            return 1
    print(answer.choices[0].message.content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
