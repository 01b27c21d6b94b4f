"""The agents that there are, by the names of their programs."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from nomyo.cli.launch.claude import CLAUDE
from nomyo.cli.launch.opencode import OPENCODE


class AgentName(StrEnum):
    """The names, as they are typed."""

    CLAUDE = "claude"
    OPENCODE = "opencode"


AGENTS: Final = {AgentName.CLAUDE: CLAUDE, AgentName.OPENCODE: OPENCODE}
