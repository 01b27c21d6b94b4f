"""A batch on one machine, by which one over a cluster is judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nomyo.batch
from nomyo.batch.summary import Summary
from support.batch_scene import PromptNotingRouter

CLIENT: dict[str, Any] = {"allow_http": True, "key_size": 2048}


def nomyo_batch(source: Path, output: Path, router: PromptNotingRouter) -> Summary:
    return nomyo.batch.run(source, output, base_url=router.url, ordered=True, key_dir=None, **CLIENT)
