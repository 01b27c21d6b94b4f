"""The tools that a request offers, and which of them the model may call.

A chat has functions alone. So a custom tool becomes a function of one string, and a tool of a namespace a function
whose name begins with the namespace; what comes back is told by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from .fields import Fields, given, list_at, malformed, name_in, object_at
from .parts import kind_of

INPUT: Final = "input"
"""The one parameter of the function that a custom tool becomes."""
_JOINT: Final = "__"
_ELSEWHERE: Final = frozenset(
    {
        *("apply_patch", "code_interpreter", "computer", "computer_use", "computer_use_preview", "file_search"),
        *("image_generation", "local_shell", "mcp", "programmatic_tool_calling", "shell", "tool_search"),
        *("web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11"),
    }
)
"""The kinds of tools that only OpenAI's servers run, or that only its models know without being told their form."""
_MODES: Final = ("none", "auto", "required")


@dataclass(frozen=True, slots=True)
class ToolName:
    """How the caller of a tool knows it."""

    kind: str
    """`function` or `custom`."""
    name: str
    namespace: str | None = None

    @property
    def in_chat(self) -> str:
        """The name of the function that the tool is in a chat."""
        return self.name if self.namespace is None else f"{self.namespace}{_JOINT}{self.name}"


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools of a request. The repr does not show them, since descriptions are content."""

    functions: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    """The tools as a chat has them, by their names there."""
    names: dict[str, ToolName] = field(default_factory=dict, repr=False)
    kept: list[Fields] = field(default_factory=list, repr=False)
    """The tools as the caller wrote them, without those that were left out."""
    left_out: tuple[str, ...] = ()
    choice: Any = field(default=None, repr=False)
    """The `tool_choice` of the chat; None if the request has none."""

    def named(self, name: str) -> ToolName:
        """Return how the caller knows a function of the chat; a model may also call what was never offered."""
        return self.names.get(name) or ToolName("function", name)


def tools_of(fields: Fields) -> Tools:
    """Return the tools of a request.

    Raises:
        MalformedRequestError: A tool is malformed, two have one name, none is left, or `tool_choice` asks for one that
            is not there.
    """
    tools = Tools()
    left_out: dict[str, None] = {}
    given_tools = list_at(fields.get("tools") or [], "tools")
    for place, each in enumerate(given_tools):
        path = f"tools[{place}]"
        tool = object_at(each, path)
        kind = kind_of(tool, path, ("function", "custom", "namespace", *sorted(_ELSEWHERE)))
        if kind in _ELSEWHERE:
            left_out[kind] = None
            continue
        tools.kept.append(tool)
        _add(tools, kind, tool, path)
    if left_out and not tools.functions:
        raise malformed("tools[0].type", f"is {next(iter(left_out))}, which only another server has")
    return _chosen(replace(tools, left_out=tuple(left_out)), fields.get("tool_choice"))


def _add(tools: Tools, kind: str, tool: Fields, path: str) -> None:
    if kind != "namespace":
        _add_one(tools, kind, tool, path, None)
        return
    namespace = name_in(tool, "name", path)
    for place, each in enumerate(list_at(tool.get("tools"), f"{path}.tools")):
        inner_path = f"{path}.tools[{place}]"
        inner = object_at(each, inner_path)
        _add_one(tools, kind_of(inner, inner_path, ("function", "custom")), inner, inner_path, namespace)


def _add_one(tools: Tools, kind: str, tool: Fields, path: str, namespace: str | None) -> None:
    if kind == "function" and isinstance(tool.get("function"), Mapping):  # written as for a chat: the meaning is clear
        tool, path = tool["function"], f"{path}.function"
    name = ToolName(kind, name_in(tool, "name", path), namespace)
    if name.in_chat in tools.names:
        raise malformed(f"{path}.name", "is that of another tool, too")
    function = _function(tool) if kind == "function" else _function_of_one_string(tool, path)
    tools.names[name.in_chat] = name
    tools.functions[name.in_chat] = {"type": "function", "function": {"name": name.in_chat, **function}}


def _function(tool: Fields) -> dict[str, Any]:
    return given(tool, "description", "parameters", "strict")


def _function_of_one_string(tool: Fields, path: str) -> dict[str, Any]:
    told = [tool["description"]] if isinstance(tool.get("description"), str) and tool["description"] else []
    form = object_at(tool.get("format") or {"type": "text"}, f"{path}.format")
    if kind_of(form, f"{path}.format", ("text", "grammar")) == "grammar":
        syntax, definition = (name_in(form, name, f"{path}.format") for name in ("syntax", "definition"))
        told.append(f"{INPUT} must follow this grammar ({syntax}):\n{definition}")
    return {
        **({"description": "\n\n".join(told)} if told else {}),
        "parameters": {
            "type": "object",
            "properties": {INPUT: {"type": "string"}},
            "required": [INPUT],
            "additionalProperties": False,
        },
    }


def _chosen(tools: Tools, choice: Any) -> Tools:
    """Return the tools with the choice that a request makes among them."""
    if choice is None:
        return tools
    if isinstance(choice, str):
        return _with_mode(tools, choice, "tool_choice")
    wanted = object_at(choice, "tool_choice")
    kind = kind_of(wanted, "tool_choice", ("function", "custom", "allowed_tools", *sorted(_ELSEWHERE)))
    if kind == "allowed_tools":
        return _allowed(tools, wanted)
    name = _offered(tools, wanted, "tool_choice").in_chat
    return replace(tools, choice={"type": "function", "function": {"name": name}})


def _with_mode(tools: Tools, mode: Any, path: str) -> Tools:
    if mode not in _MODES:
        raise malformed(path, f"must be one of {', '.join(_MODES)}, or name a tool")
    if mode == "required" and not tools.functions:
        raise malformed(path, "asks for a tool, and none is offered")
    return replace(tools, choice=mode)


def _allowed(tools: Tools, wanted: Fields) -> Tools:
    """Return the tools that are allowed. To offer no others means the same, and every server understands it."""
    path = "tool_choice.tools"
    allowed = {
        _offered(tools, object_at(each, f"{path}[{place}]"), f"{path}[{place}]").in_chat
        for place, each in enumerate(list_at(wanted.get("tools"), path))
    }
    functions = {name: function for name, function in tools.functions.items() if name in allowed}
    return _with_mode(replace(tools, functions=functions), wanted.get("mode", "auto"), "tool_choice.mode")


def _offered(tools: Tools, wanted: Fields, path: str) -> ToolName:
    kind = kind_of(wanted, path, ("function", "custom", *sorted(_ELSEWHERE)))
    if kind in _ELSEWHERE:
        raise malformed(f"{path}.type", f"asks for {kind}, which only another server has")
    function = wanted.get("function")  # written as for a chat
    named = function if isinstance(function, Mapping) else wanted
    namespace = wanted.get("namespace")
    name = ToolName("function", name_in(named, "name", path), namespace if isinstance(namespace, str) else None)
    if name.in_chat not in tools.names:
        raise malformed(f"{path}.name", "is that of no tool that is offered")
    return name
