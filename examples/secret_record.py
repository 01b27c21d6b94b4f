"""A secret record as the prompt: neither it nor the answer becomes a Python string, and both are wiped.

`python secret_record.py RECORD.txt`: the file goes straight into locked memory, the answer from there to stdout.
"""

from __future__ import annotations

import os
import sys

from nomyo import SecureBuffer, SyncSecureChatCompletion, harden_process
from nomyo.parameters import Message

MODEL = os.environ.get("NOMYO_MODEL", "Qwen/Qwen3-0.6B")
# Plain HTTP for `nomyo router` on this machine alone: any other address without https:// is refused.
LOCAL = os.environ.get("NOMYO_BASE_URL", "").startswith("http://127.0.0.1:")


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: python secret_record.py RECORD.txt", file=sys.stderr)
        return 2
    harden_process()  # no core dump, and no other process of this user in this one's memory
    # "require": an error instead of memory that cannot be locked. `nomyo doctor` says what to do about it.
    with (
        SyncSecureChatCompletion(allow_http=LOCAL, secure_memory="require") as client,
        SecureBuffer.from_file(sys.argv[1]) as record,
    ):
        messages: list[Message] = [{"role": "system", "content": "Summarise."}, {"role": "user", "content": record}]
        with client.create_secure(model=MODEL, messages=messages, security_tier="maximum") as reply:
            if reply.content is not None:  # None if the model called a tool instead
                os.write(1, reply.content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
