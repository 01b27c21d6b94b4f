"""The agents that there are, by the names of their programs."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from nomyo.cli.launch.claude import CLAUDE
from nomyo.cli.launch.codex import CODEX
from nomyo.cli.launch.opencode import OPENCODE


class AgentName(StrEnum):
    """The names, as they are typed."""

    CODEX = "codex"
    CLAUDE = "claude"
    OPENCODE = "opencode"


AGENTS: Final = {AgentName.CODEX: CODEX, AgentName.CLAUDE: CLAUDE, AgentName.OPENCODE: OPENCODE}
