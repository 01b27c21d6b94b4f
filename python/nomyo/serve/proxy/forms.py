"""Which form a path of the proxy speaks. A refusal has the form of its path, also if no such path is offered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.types import Scope

from nomyo._api_form import ApiForm
from nomyo.openai_form.chat_form import ChatForm


class Forms:
    """The forms by path; for all other paths, that of chat completions.

    Args:
        by_path: A path's form holds for everything below the path, too.
    """

    def __init__(self, by_path: Mapping[str, ApiForm[Any]]) -> None:
        self._by_path = by_path
        self._other = ChatForm()

    def of(self, scope: Scope) -> ApiForm[Any]:
        """Return the form of a request."""
        path = scope["path"]
        for known, form in self._by_path.items():
            if path == known or path.startswith(known + "/"):
                return form
        return self._other
