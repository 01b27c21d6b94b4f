"""A file of prompts, one on each line, to a file of answers: `python batch_file.py PROMPTS.txt OUT.jsonl`.

Interrupt it as you like, and start it again: it goes on, and sends no row again that was done.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import nomyo
import nomyo.batch

MODEL = os.environ.get("NOMYO_MODEL", "Qwen/Qwen3-0.6B")
# Plain HTTP for `nomyo router` on this machine alone: any other address without https:// is refused.
LOCAL = os.environ.get("NOMYO_BASE_URL", "").startswith("http://127.0.0.1:")


def write_requests(prompts: Path, requests: Path) -> None:
    """Write a file of requests in OpenAI's batch format."""
    with requests.open("w", encoding="utf-8") as file:
        for number, prompt in enumerate(prompts.read_text(encoding="utf-8").splitlines(), 1):
            body = {"model": MODEL, "messages": [{"role": "user", "content": prompt}]}
            row = {"custom_id": f"prompt-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
            print(json.dumps(row), file=file)


def main() -> int:
    if len(sys.argv) != 3:
        print("usage: python batch_file.py PROMPTS.txt OUT.jsonl", file=sys.stderr)
        return 2
    prompts, output = map(Path, sys.argv[1:])
    requests = prompts.with_suffix(".jsonl")
    if not requests.exists():  # a batch goes on with the same requests
        write_requests(prompts, requests)
    try:
        summary = nomyo.batch.run(requests, output, concurrency=32, allow_http=LOCAL)
    except nomyo.BatchError as error:
        print("stopped:", error, file=sys.stderr)
        return 1
    print(f"{summary.succeeded} answered, {summary.failed} failed, {summary.left} left")
    return 3 if summary.failed else 0


if __name__ == "__main__":
    sys.exit(main())
