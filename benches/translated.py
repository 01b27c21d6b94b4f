"""Requests through `nomyo proxy` in each form that it takes, in turn: what translating costs beside chat completions.

A client asks for one answer after the other, and the forms take turns, so that whatever else the machine does falls on
all of them alike. Each form has the median and the best rate over the rounds, and the processor time that the proxy
needed for a request.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import httpx
import replaying  # noqa: F401 - with it, the support of the tests can be imported
from extent import extent

from nomyo.serve.router.config import RouterConfig
from nomyo.serve.router.running import RunningRouter
from support.proxied import TOKEN, Proxy, proxy_process

ROUNDS = extent(20, 1)
REQUESTS = 15
TEXT = "What does it cost to say this in another form? " * 20
FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat completions": ("/v1/chat/completions", {"messages": [{"role": "user", "content": TEXT}]}),
    "responses": ("/v1/responses", {"input": TEXT}),
    "messages": ("/v1/messages", {"messages": [{"role": "user", "content": TEXT}], "max_tokens": 4096}),
}


def measure() -> dict[str, dict[str, dict[str, float]]]:
    """Return the figures of each form, for whole answers and for streams."""
    with RunningRouter(RouterConfig(key_bits=2048)) as router, proxy_process(router.url, None) as proxy:
        return {"whole": _figures(proxy, stream=False), "streamed": _figures(proxy, stream=True)}


def _figures(proxy: Proxy, *, stream: bool) -> dict[str, dict[str, float]]:
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
    return {
        form: {
            "median_per_s": statistics.median(found),
            "best_per_s": max(found),
            "proxy_cpu_ms": spent_s[form] / (ROUNDS * REQUESTS) * 1e3,
        }
        for form, found in rates.items()
    }


def _ask(client: httpx.Client, form: str, *, stream: bool) -> None:
    path, body = FORMS[form]
    for _ in range(REQUESTS):
        client.post(path, json={"model": "m", "stream": stream, **body}).raise_for_status()


def _processor_time_s(pid: int) -> float:
    """Return the user and system time of a process (proc_pid_stat(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
