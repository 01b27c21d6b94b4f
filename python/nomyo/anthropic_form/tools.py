"""Translates tools and the choice among them.

A tool with an input schema is a function. Tools without one are Anthropic's own: its servers run them, or know how
they are called. They are left out where others are offered too, and refused where one of them is asked for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from .fields import Fields

# The kinds of Anthropic's own tools. A type is a kind and a date: web_search_20250305.
_KINDS: Final = (
    "advisor",
    "bash",
    "browser_toolset",
    "code_execution",
    "computer",
    "computer_toolset",
    "mcp_toolset",
    "memory",
    "text_editor",
    "tool_search_tool_bm25",
    "tool_search_tool_regex",
    "web_fetch",
    "web_search",
)
_DATED: Final = re.compile(r"([a-z0-9_]{1,60})_20[0-9]{6}", re.ASCII)
_OTHER_KIND: Final = "another tool of Anthropic's"


@dataclass(frozen=True, slots=True, repr=False)
class Tools:
    """The tools of a request, translated."""

    functions: list[dict[str, Any]]
    left_out: tuple[str, ...]
    """The kinds of tools that were left out, each once."""
    left_out_names: frozenset[str]
    """The names under which a caller may ask for them."""


def read_tools(request: Fields) -> Tools:
    """Return the tools of a request.

    Raises:
        MalformedRequestError: A tool is malformed, or a name is used twice.
    """
    functions: dict[str, dict[str, Any]] = {}
    left_out: dict[str, None] = {}
    names = set()
    for tool in request.objects("tools"):
        kind = _kind(tool)
        if kind is not None:
            left_out[kind] = None
            names.add(tool.get("name") if isinstance(tool.get("name"), str) else kind)
            continue
        function = _function(tool)
        if function["name"] in functions:
            raise tool.fault("name", "is the name of another tool, too")
        functions[function["name"]] = function
    wrapped = [{"type": "function", "function": function} for function in functions.values()]
    return Tools(wrapped, tuple(left_out), frozenset(names))


def choice_of(request: Fields, tools: Tools) -> dict[str, Any]:
    """Return the fields of a chat completion that say how tools are chosen.

    Raises:
        MalformedRequestError: The choice is malformed, or asks for a tool that is not there.
    """
    choice = request.fields("tool_choice")
    if choice is None:
        return {}
    wanted = _wanted(choice, tools)
    if not tools.functions:
        return {}
    return {"tool_choice": wanted} | (
        {"parallel_tool_calls": False} if choice.flag("disable_parallel_tool_use") else {}
    )


def _wanted(choice: Fields, tools: Tools) -> str | dict[str, Any]:
    match choice.get("type"):
        case "auto" | "none" as same:
            return str(same)
        case "any":
            if not tools.functions:
                raise choice.fault("type", "asks for a tool, but none is left that this model can be offered")
            return "required"
        case "tool":
            return {"type": "function", "function": {"name": _named(choice, tools)}}
        case _:
            raise choice.fault("type", "must be auto, any, tool or none")


def _named(choice: Fields, tools: Tools) -> str:
    name = choice.filled_text("name")
    if any(tool["function"]["name"] == name for tool in tools.functions):
        return name
    if name in tools.left_out_names:
        raise choice.fault("name", "asks for a tool of Anthropic's own, which cannot be offered here")
    raise choice.fault("name", "is not the name of a tool in tools")


def _kind(tool: Fields) -> str | None:
    """Return the kind of a tool of Anthropic's own; None if the tool is the caller's."""
    given = tool.get("type")
    if given in (None, "custom"):
        return None
    dated = _DATED.fullmatch(given) if isinstance(given, str) else None
    kind = dated[1] if dated is not None else given
    if kind in _KINDS:
        return str(kind)
    if dated is None:
        raise tool.fault("type", "must be custom, or the type of a tool of Anthropic's own")
    return _OTHER_KIND


def _function(tool: Fields) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.filled_text("name")}
    if tool.get("description") is not None:
        function["description"] = tool.text("description")
    schema = tool.get("input_schema")
    if not isinstance(schema, dict):
        raise tool.fault("input_schema", "must be an object")
    function["parameters"] = schema
    if tool.get("strict") is not None:
        function["strict"] = tool.flag("strict")
    return function
