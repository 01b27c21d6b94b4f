"""Requests through `nomyo proxy` in each form that it takes, in turn: what translating costs beside chat completions.

A client asks for one answer after the other, and the forms take turns, so that whatever else the machine does falls on
all of them alike. Of each form, it prints the median and the best rate over the rounds, and the processor time that the
proxy needed for a request.

    PYTHONPATH=tests .venv/bin/python benches/translated.py
"""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path
from typing import Any

import httpx

from nomyo.serve.router.config import RouterConfig
from nomyo.serve.router.running import RunningRouter
from support.proxied import TOKEN, Proxy, proxy_process

ROUNDS = 20
REQUESTS = 15
TEXT = "What does it cost to say this in another form? " * 20
FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat completions": ("/v1/chat/completions", {"messages": [{"role": "user", "content": TEXT}]}),
    "responses": ("/v1/responses", {"input": TEXT}),
    "messages": ("/v1/messages", {"messages": [{"role": "user", "content": TEXT}], "max_tokens": 4096}),
}


def main() -> None:
    """Print a table for whole answers, and one for streams."""
    with RunningRouter(RouterConfig(key_bits=2048)) as router, proxy_process(router.url, None) as proxy:
        for stream in (False, True):
            _table(proxy, stream=stream)


def _table(proxy: Proxy, *, stream: bool) -> None:
    rates: dict[str, list[float]] = {form: [] for form in FORMS}
    spent_s = dict.fromkeys(FORMS, 0.0)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=proxy.url, headers=headers, trust_env=False, timeout=60) as client:
        for number in range(ROUNDS + 1):
            for form in FORMS:
                before_s = _processor_time_s(proxy.process.pid)
                began_at = time.perf_counter()
                _ask(client, form, stream=stream)
                if number:  # the first round warms up
                    rates[form].append(REQUESTS / (time.perf_counter() - began_at))
                    spent_s[form] += _processor_time_s(proxy.process.pid) - before_s
    print("streams" if stream else "whole answers")
    chat = rates["chat completions"]
    for form, found in rates.items():
        median, best = statistics.median(found), max(found)
        share = f"{median / statistics.median(chat):.2f} and {best / max(chat):.2f} of chat completions"
        each_ms = spent_s[form] / (ROUNDS * REQUESTS) * 1e3
        print(f"  {form:17} median {median:6.1f}/s  best {best:6.1f}/s  {share};  proxy {each_ms:.2f} ms each")


def _ask(client: httpx.Client, form: str, *, stream: bool) -> None:
    path, body = FORMS[form]
    for _ in range(REQUESTS):
        client.post(path, json={"model": "m", "stream": stream, **body}).raise_for_status()


def _processor_time_s(pid: int) -> float:
    """Return the user and system time of a process (proc_pid_stat(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
