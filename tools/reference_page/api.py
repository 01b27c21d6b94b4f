"""The part of the page that comes from the package's docstrings and signatures."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

import griffe

from reference_page.markdown import Links, blocks, code, fenced, table
from reference_page.source import (
    Thing,
    defined,
    keys,
    parameters,
    shown_options,
    typed_dict,
    written,
)

# Called by other modules of the package, with objects that a program does not have.
_INTERNAL = {
    "attach",
    "auth_headers",
    "check_usable",
    "from_settings",
    "send",
    "send_secret",
    "settings",
    "start",
    "with_same_keys",
}
_SHARED = ("_", "BackgroundServer", "EncryptedClient", "Level")
"""How classes begin that only share something among public ones."""
_OF_SDKS = {"nomyo.openai._Options": "as in the OpenAI SDK", "nomyo.anthropic._Options": "as in Anthropic's SDK"}
"""What is said of the options that are passed to an SDK, by the type that lists them."""
_LINE = 96
_INDENT = "    "
_CONTEXTS = {"contextmanager": "AbstractContextManager", "asynccontextmanager": "AbstractAsyncContextManager"}


@dataclass(frozen=True)
class Entry:
    """A heading of the page: a class or a function, or a method that has more to say than one line of a table."""

    name: str
    """As it is imported; with its class, if it is a method."""
    of: Thing
    owner: str = ""
    """The name of its class."""


def members(cls: griffe.Class) -> dict[str, griffe.Object]:
    """Return the public members of a class, with those that it has from classes of the package that are not public."""
    found: dict[str, griffe.Object] = {}
    for each in (cls, *(base for base in cls.mro() if base.name.startswith(_SHARED))):
        for name, member in each.members.items():
            is_public = not name.startswith("_") or name == "__call__"
            # A class that is not public declares what its subclasses have: that has a docstring, or is theirs to tell.
            told = each is cls or not isinstance(member, griffe.Attribute) or member.docstring or member.value
            if is_public and told and name not in _INTERNAL and isinstance(member, griffe.Object):
                found.setdefault(name, member)
    return found


def methods(cls: griffe.Class) -> Iterator[tuple[str, griffe.Function]]:
    """Yield the methods of a class that a program calls."""
    for name, member in members(cls).items():
        if isinstance(member, griffe.Function):
            yield name, member


def levels(cls: griffe.Class, package: griffe.Module, known: set[str]) -> Iterator[griffe.Class]:
    """Yield the classes of a class's attributes, and of theirs, if its own module has them; add them to `known`."""
    for each in cls.members.values():
        if not isinstance(each, griffe.Attribute) or not isinstance(each.annotation, griffe.Expr):
            continue
        for name in each.annotation.iterate(flat=True):
            found = defined(name, package) if isinstance(name, griffe.ExprName) else None
            if not isinstance(found, griffe.Class) or not any(each.annotation for each in found.attributes.values()):
                continue
            if found.module is cls.module and found.name not in known:
                known.add(found.name)
                yield found
                yield from levels(found, package, known)


def is_brief(function: griffe.Function) -> bool:
    """Return whether a method is described by one paragraph alone."""
    sections = sections_of(function)
    return len(sections) <= 1 and "\n\n" not in prose_of(function)


def sections_of(documented: griffe.Object) -> list[griffe.DocstringSection]:
    """Return the sections of a docstring."""
    return documented.docstring.parsed if documented.docstring else []


def prose_of(documented: griffe.Object) -> str:
    """Return the paragraphs of a docstring that belong to no section."""
    return "\n\n".join(each.value for each in sections_of(documented) if isinstance(each, griffe.DocstringSectionText))


def constructor(cls: griffe.Class) -> griffe.Function | None:
    """Return the method that a class is made by, its own or that of a base in the package."""
    for each in (cls, *cls.mro()):
        for name in ("__init__", "__new__"):
            found = each.members.get(name)
            if isinstance(found, griffe.Function):
                return found
    return None


class Api:
    """Writes classes and functions as Markdown.

    Args:
        package: The package, as griffe read it.
        links: The names that have a heading.
    """

    def __init__(self, package: griffe.Module, links: Links) -> None:
        self._package = package
        self._links = links
        self._explained = {
            each.name: cls.name
            for cls in (self._class("client.SecureCompletionClient"), self._class("chat.SecureChatCompletion"))
            for each in parameters(constructor(cls) or cls)
        }
        """The class that explains an option of clients, by the option's name."""
        settings = self._class("exchange.settings.Settings")
        self._defaults = {each.name: written(each.default, package) for each in settings.parameters}
        self._told: dict[str, str] = {}
        """The class that has told of a constructor, by the constructor's path."""

    def _class(self, path: str) -> griffe.Class:
        found = self._package[path]
        assert isinstance(found, griffe.Class)
        return found

    def entry(self, entry: Entry) -> str:
        """Return what stands below a heading."""
        if isinstance(entry.of, griffe.Attribute):
            return self._other_name(entry)
        if isinstance(entry.of, griffe.Class):
            return self._class_text(entry, entry.of)
        return self._function_text(entry, entry.of)

    def _other_name(self, entry: Entry) -> str:
        if entry.of.docstring:
            return self._links.prose(prose_of(entry.of), entry.owner)
        value = written(entry.of.value, self._package) if isinstance(entry.of, griffe.Attribute) else ""
        return f"Another name of {self._links.to(value)}." if self._links.knows(value) else fenced(value)

    def _function_text(self, entry: Entry, function: griffe.Function) -> str:
        return blocks(
            fenced(self._definition(function)),
            self._links.prose(prose_of(function), entry.owner),
            self._parameters(function, function, "argument", entry.owner),
            self._returns(function, entry.owner),
            self._raises(function, entry.owner),
        )

    def _class_text(self, entry: Entry, cls: griffe.Class) -> str:
        bases = [self._links.to(str(base)) for base in cls.bases if self._links.knows(str(base))]
        return blocks(
            self._links.prose(prose_of(cls), entry.name),
            f"Subclass of {', '.join(bases)}." if bases else "",
            self._making(entry, cls),
            self._attributes(cls, entry.name),
            self._called_with(cls),
            self._contexts(cls, entry.name),
            "" if entry.owner else self._brief_methods(cls, entry.name),
        )

    def _making(self, entry: Entry, cls: griffe.Class) -> str:
        """Return the signature and options of a class; a reference, if a class before it has the same."""
        made_by = constructor(cls)
        described = next((each for each in (cls, made_by) if each and _has_parameters(each)), made_by)
        if made_by is None or described is None or not described.docstring:
            return ""
        teller = self._told.setdefault(described.path, entry.name)
        if teller != entry.name:
            return f"It takes the same options as {self._links.to(teller)}."
        return blocks(
            fenced(self._call(cls.name, parameters(made_by))),
            "" if described is cls else self._links.prose(prose_of(made_by), entry.name),
            self._parameters(made_by, described, "attribute" if _is_error(cls) else "option", entry.name),
            self._raises(described, entry.name),
        )

    # The pieces of a function.

    def _definition(self, function: griffe.Function) -> str:
        word = "async def" if "async" in function.labels else "def"
        above = "@classmethod\n" if "classmethod" in function.labels else ""
        return f"{above}{word} {self._call(function.name, parameters(function))}{self._end(function)}"

    def _end(self, function: griffe.Function) -> str:
        returned = written(function.returns, self._package)
        for each in function.decorators:
            if context := _CONTEXTS.get(str(each.value)):
                returned = f"{context}{returned[returned.find('[') :]}"
        return f" -> {returned}" if returned else ""

    def _in_a_line(self, function: griffe.Function) -> str:
        of_class = {"classmethod", "staticmethod"} & function.labels and function.parent
        arguments = ", ".join(self._arguments(parameters(function)))
        name = f"{of_class.name}.{function.name}" if of_class else function.name
        return f"{'await ' * ('async' in function.labels)}{name}({arguments}){self._end(function)}"

    def _call(self, name: str, given: list[griffe.Parameter]) -> str:
        arguments = ", ".join(self._arguments(given))
        if len(f"{name}({arguments})") <= _LINE:
            return f"{name}({arguments})"
        return f"{name}(\n{textwrap.fill(f'{arguments},', _LINE, initial_indent=_INDENT, subsequent_indent=_INDENT)}\n)"

    def _arguments(self, given: list[griffe.Parameter]) -> Iterator[str]:
        kinds = [each.kind for each in given]
        for number, each in enumerate(given):
            before = kinds[number - 1] if number else None
            if each.kind is griffe.ParameterKind.keyword_only and before is not each.kind:
                yield "*"
            default = "" if each.default is None or _is_variable(each) else written(each.default, self._package)
            yield _starred(each) + (f"={default}" if default else "")
            after = kinds[number + 1] if number + 1 < len(kinds) else None
            if each.kind is griffe.ParameterKind.positional_only and after is not each.kind:
                yield "/"

    def _parameters(self, function: griffe.Function, described: griffe.Object, head: str, owner: str) -> str:
        told = {
            each.name.lstrip("*"): each.description
            for section in sections_of(described)
            if isinstance(section, griffe.DocstringSectionParameters)
            for each in section.value
        }
        if not told:
            return ""
        rows = [row for each in parameters(function) for row in self._rows(function, each, told, owner)]
        return table((head, "type", "default", "meaning"), rows)

    def _rows(
        self, function: griffe.Function, parameter: griffe.Parameter, told: dict[str, str], owner: str
    ) -> Iterator[tuple[str, ...]]:
        name, meaning = parameter.name, told.get(parameter.name)
        if not (typed := typed_dict(parameter, self._package)):
            default = "" if _is_variable(parameter) else written(parameter.default, self._package) or "required"
            yield self._row(_starred(parameter), parameter.annotation, default, meaning, owner)
            return
        if meaning is not None:
            yield f"`**{name}`", "", "", self._links.inline(meaning, owner)
        changed, without = shown_options(function, self._package)
        for key in keys(typed):
            if key.name not in without and not key.name.startswith("_"):
                default = changed.get(key.name) or self._defaults.get(key.name, "")
                meaning = _OF_SDKS.get(typed.path) if key.parent is typed else None
                yield self._row(key.name, key.annotation, default, meaning, owner)

    def _row(
        self, name: str, annotation: str | griffe.Expr | None, default: str, meaning: str | None, owner: str
    ) -> tuple[str, ...]:
        if meaning is None:
            meaning = f"as for `{self._explained[name]}`" if name in self._explained else ""
        shown = default if default == "required" else code(default)
        return code(name), code(written(annotation, self._package)), shown, self._links.inline(meaning, owner)

    def _returns(self, function: griffe.Function, owner: str) -> str:
        """Return the text of the section "Returns". griffe takes words before a colon for a type."""
        texts = [
            each.description
            if str(each.annotation) == str(function.returns)
            else f"{each.annotation}: {each.description}"
            for section in sections_of(function)
            if isinstance(section, griffe.DocstringSectionReturns)
            for each in section.value
        ]
        return f"Returns: {self._links.inline(' '.join(' '.join(texts).split()), owner)}" if texts else ""

    def _raises(self, documented: griffe.Object, owner: str) -> str:
        rows = [
            (", ".join(map(self._links.to, str(each.annotation).strip("()").split(", "))), each.description)
            for section in sections_of(documented)
            if isinstance(section, griffe.DocstringSectionRaises)
            for each in section.value
        ]
        return table(("raises", "when"), [(names, self._links.inline(when, owner)) for names, when in rows])

    # The pieces of a class.

    def _attributes(self, cls: griffe.Class, owner: str) -> str:
        told = {each.name for each in cls.parameters} if _has_parameters(cls) else set()
        rows = [
            (code(name), code(written(each.annotation, self._package)), self._links.inline(prose_of(each), owner))
            for name, each in members(cls).items()
            if isinstance(each, griffe.Attribute) and name not in told and (each.annotation or each.docstring)
        ]
        return table(("attribute", "type", "meaning"), rows)

    def _called_with(self, cls: griffe.Class) -> str:
        """Return the parameters of a protocol that is a callable in several forms; the first has them all."""
        forms = cls.overloads.get("__call__", [])
        given = parameters(forms[0]) if forms else []
        rows = [(code(_starred(each)), code(written(each.annotation, self._package))) for each in given]
        return table(("parameter", "type"), rows)

    def _contexts(self, cls: griffe.Class, owner: str) -> str:
        rows = []
        for word, name in (("with", "__enter__"), ("async with", "__aenter__")):
            entered = cls.members.get(name)
            if isinstance(entered, griffe.Function) and entered.docstring:
                rows.append(f"`{word}`: {self._links.inline(prose_of(entered), owner)}")
        return blocks(*rows)

    def _brief_methods(self, cls: griffe.Class, owner: str) -> str:
        called = dict(methods(cls))
        rows = [
            (code(self._in_a_line(each)), self._links.inline(prose_of(each), owner))
            for each in called.values()
            if is_brief(each)
        ]
        others = [
            (code(name), f"Another name of {self._links.inline(code(str(each.value)), owner)}.")
            for name, each in members(cls).items()
            if isinstance(each, griffe.Attribute) and str(each.value) in called
        ]
        return table(("method", "meaning"), rows + others)


def _is_variable(parameter: griffe.Parameter) -> bool:
    return parameter.kind in (griffe.ParameterKind.var_keyword, griffe.ParameterKind.var_positional)


def _starred(parameter: griffe.Parameter) -> str:
    stars = {griffe.ParameterKind.var_keyword: "**", griffe.ParameterKind.var_positional: "*"}
    return stars.get(parameter.kind, "") + parameter.name if parameter.kind else parameter.name


def _is_error(cls: griffe.Class) -> bool:
    return cls.module.name == "errors"


def _has_parameters(documented: griffe.Object) -> bool:
    return any(isinstance(each, griffe.DocstringSectionParameters) for each in sections_of(documented))
