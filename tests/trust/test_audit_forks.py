"""`audit_log` and fork: a child leaves its parent's log alone, and uses one of its own."""

from __future__ import annotations

from pathlib import Path

from nomyo.trust import chain
from nomyo.trust.audit_log import KIND
from support.faults import Answer, FaultyRouter
from support.process import output_of, unmeasured

CLOSED_IN_A_CHILD = """
import asyncio, logging, os, signal, sys, warnings
import nomyo
from nomyo.trust.audit_log import audit_log_at
warnings.simplefilter("ignore", UserWarning)
url, key_dir, log = sys.argv[1:]

class Waits(logging.Handler):
    def emit(self, record):
        if record.getMessage().startswith("next attempt"):
            waits.set()

waits = asyncio.Event()
logging.getLogger("nomyo").addHandler(Waits())
logging.getLogger("nomyo").setLevel(logging.DEBUG)

async def main():
    async with nomyo.SecureChatCompletion(url, True, key_dir=key_dir, audit_log=log) as chat:
        call = chat.create(model="m", messages=[{"role": "user", "content": "x"}])
        task = asyncio.create_task(call)
        await waits.wait()
        with audit_log_at(log)._lock:  # as if another thread were adding a line
            child = os.fork()
            if child == 0:
                signal.alarm(20)  # ends it if it waits for that thread
                call.close()
                os._exit(0)
        print(os.waitpid(child, 0)[1])
        task.cancel()
        await asyncio.wait([task])

asyncio.run(main())
"""


def test_call_that_a_child_inherits_and_ends_leaves_no_line_of_the_childs(
    faulty_router: FaultyRouter, key_directory: Path, tmp_path: Path
) -> None:
    log = tmp_path / "audit.jsonl"
    faulty_router.always(Answer(503, headers={"Retry-After": "50"}), 1)

    said = output_of(CLOSED_IN_A_CHILD, faulty_router.url, str(key_directory), str(log), env=unmeasured())

    assert said == "0\n"
    assert [each.entry["error"] for each in chain.links(log, KIND) if isinstance(each, chain.Link)] == ["cancelled"]
