"""What an answer leaves in memory that was refused for its router's attestation: nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from support.needles import of_texts
from support.scanned import waiting
from support.scene import Scene

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/PID/mem")


@pytest.mark.parametrize("twin", ["sync", "async"])
def test_refused_answer_leaves_no_content_anywhere(tmp_path: Path, scene: Scene, twin: str) -> None:
    with waiting("refused_attestations", twin, tmp_path, scene.job) as child:
        assert child.search(of_texts(scene.answers)) == []
