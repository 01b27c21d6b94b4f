"""Answers that nobody reads on the disk without a password: `python sealed_answers.py IN.jsonl OUT.jsonl`.

Make a key pair for answers once, and give it a password: `nomyo keys generate --key-dir archive` (extra `cli`). The
batch seals each row for the public key before it is written. Reading the rows takes the private key and its password.
"""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path

import nomyo
import nomyo.batch

ARCHIVE = Path("archive")  # not the client's own key pair, which is replaced every day
# Plain HTTP for `nomyo router` on this machine alone: any other address without https:// is refused.
LOCAL = os.environ.get("NOMYO_BASE_URL", "").startswith("http://127.0.0.1:")


def main() -> int:
    if len(sys.argv) != 3:
        print("usage: python sealed_answers.py IN.jsonl OUT.jsonl", file=sys.stderr)
        return 2
    try:
        nomyo.batch.run(sys.argv[1], sys.argv[2], encrypt_to=ARCHIVE / "public_key.pem", allow_http=LOCAL)
        password = getpass.getpass("password of the private key: ")
        for row in nomyo.batch.read(sys.argv[2], key_dir=ARCHIVE, password=password):
            if row["error"] is None:
                print(row["custom_id"], row["response"]["body"]["choices"][0]["message"]["content"])
    except nomyo.NomyoError as error:
        print("stopped:", error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
