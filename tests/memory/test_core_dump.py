"""A core dump holds nothing of what is in locked memory: no key, and on the secret path no text at all."""

from __future__ import annotations

import sys

import pytest

from support.memory_scan import outside
from support.scanned import PLAIN, SECRET, waiting
from support.scene import Scene, objects

pytestmark = [pytest.mark.skipif(sys.platform != "linux", reason="needs gdb and /proc"), pytest.mark.outside("gdb")]


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("way", [pytest.param(PLAIN, id="dict"), pytest.param(SECRET, id="secret")])
def test_core_dump_holds_the_objects_alone(scene: Scene, kind: str, way: dict[str, str]) -> None:
    with waiting("asked", kind, scene.directory, {**scene.job, **way}) as child:
        finds = child.search_core(scene.needles())

    assert outside(finds, child.kept) == []
    assert {find.secret for find in finds} == objects(scene, way)
