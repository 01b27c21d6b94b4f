"""Which form a caller of the proxy speaks. A refusal has that form, too.

Most paths have one form. What is under several (`/v1/models`) is given in Anthropic's to a caller that sends
`anthropic-version`, as its SDKs do with each request, and otherwise in OpenAI's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Scope

from nomyo._api_form import ApiForm
from nomyo.anthropic_form.messages_form import MessagesForm
from nomyo.openai_form.chat_form import ChatForm


def speaks_anthropic(scope: Scope) -> bool:
    """Return whether the headers of a request say that its caller reads Anthropic's form."""
    return "anthropic-version" in Headers(scope=scope)


class Forms:
    """The forms by path; for all other paths, by the headers of the request.

    Args:
        by_path: A path's form holds for everything below the path, too.
    """

    def __init__(self, by_path: Mapping[str, ApiForm[Any]]) -> None:
        self._by_path = by_path
        self._others: tuple[ApiForm[Any], ApiForm[Any]] = (ChatForm(), MessagesForm())

    def of(self, scope: Scope) -> ApiForm[Any]:
        """Return the form of a request."""
        path = scope["path"]
        for known, form in self._by_path.items():
            if path == known or path.startswith(known + "/"):
                return form
        return self._others[speaks_anthropic(scope)]
