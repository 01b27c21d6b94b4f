"""Lays an answer's Markdown out for a terminal.

Rules:

- Each letter and digit of the answer is shown, or the answer is shown as it is. Tags of HTML, entities, images and
  definitions of references stand there as they were written. A link shows its address and is none for the terminal
  (OSC 8), which could hide it. Struck words keep their tildes, because many terminals do not strike.
- No character of the answer reaches the terminal but through `visible_lines` or `visible_line`.
- Line ends of the answer stay.
- Code is neither coloured nor changed: highlighting it would let an answer choose which regular expressions run.
- An answer that is long, of many parts, deeply nested or too wide for the terminal is shown as it is. So a layout takes
  a few seconds at worst.

A layout makes copies of the answer in ordinary memory. So an answer in locked memory is never laid out.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Final

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, ListItem, Markdown, MarkdownElement, TableElement
from rich.segment import Segment, Segments
from rich.table import Table
from rich.text import Text

from nomyo._terminal_text import visible_line, visible_lines

LONGEST_CHARS: Final = 50_000
_MOST_PARTS: Final = 10_000
_DEEPEST: Final = 12
_LEAST_COLUMNS_OF_LEVEL: Final = 4
_LEAST_COLUMNS_OF_CELL: Final = 6
_LEAST_COLUMNS: Final = 20


def laid_out(text: str, stream: Any) -> str | None:
    """Return an answer laid out for a terminal; None if it is to be shown as it is.

    Args:
        text: The answer, without lone surrogates.
        stream: The terminal, whose encoding is UTF-8.

    Raises:
        Exception: The parser or rich failed, at whatever it was; nothing was written.
    """
    terminal = Console(file=stream)
    if terminal.is_dumb_terminal or len(text) > LONGEST_CHARS:
        return None
    tokens = _parser().parse(text)
    if not _fits(tokens, terminal.width):
        return None
    console = Console(
        file=io.StringIO(),
        force_terminal=True,
        width=terminal.width,
        color_system=terminal.color_system,  # type: ignore[arg-type]
        no_color=terminal.no_color,
        legacy_windows=False,
    )
    shown = list(_segments(console.render_lines(_Answer(tokens), pad=False)))
    if _letters(text) - _letters("".join(each.text for each in shown)):
        return None
    with console.capture() as captured:
        console.print(Segments(shown), end="", crop=False, soft_wrap=True)
    return captured.get()


def _parser() -> MarkdownIt:
    """Return a parser under which all that an answer says is text."""
    parser = MarkdownIt("commonmark", {"html": False})
    return parser.enable("table").disable(["entity", "image", "reference"])


def _letters(text: str) -> Counter[str]:
    return Counter(filter(str.isalnum, text))


def _fits(tokens: list[Token], columns: int) -> bool:
    deepest = max((token.level for token in tokens), default=0)
    least = max(_LEAST_COLUMNS + deepest * _LEAST_COLUMNS_OF_LEVEL, max(_widths(tokens), default=0))
    parts = sum(1 + len(token.children or ()) for token in tokens)
    return parts <= _MOST_PARTS and deepest <= _DEEPEST and least <= columns


def _widths(tokens: Iterable[Token]) -> Iterator[int]:
    """Yield how many columns of the terminal each table needs."""
    cells = 0
    for token in tokens:
        cells += token.type == "th_open"
        if token.type == "thead_close":
            yield cells * _LEAST_COLUMNS_OF_CELL
            cells = 0


class _Code(CodeBlock):
    """A block of code as it stands, below what it says of its language."""

    @classmethod
    def create(cls, markdown: Markdown, token: Token) -> _Code:
        return cls(visible_line(token.info.strip()), "")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        style = console.get_style("markdown.code_block", default="none")
        if self.lexer_name:
            yield Text(self.lexer_name, "dim", overflow="fold")
        yield Text(str(self.text).rstrip(), style, overflow="fold")


class _Item(ListItem):
    """An item with the number that the answer gave it."""

    number = ""

    @classmethod
    def create(cls, markdown: Markdown, token: Token) -> _Item:
        item = cls()
        item.number = token.info
        return item

    def render_number(self, console: Console, options: ConsoleOptions, number: int, last_number: int) -> RenderResult:
        return super().render_number(console, options, int(self.number or number), last_number)


class _Table(TableElement):
    """A table whose cells fold instead of ending in an ellipsis."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = Table(box=box.SIMPLE, pad_edge=False, style="markdown.table.border", collapse_padding=True)
        for cell in self.header.row.cells if self.header and self.header.row else ():
            heading = cell.content.copy()
            heading.stylize("markdown.table.header")
            table.add_column(heading, overflow="fold")
        for row in self.body.rows if self.body else ():
            table.add_row(*(cell.content for cell in row.cells))
        yield table


class _Answer(Markdown):
    """The Markdown of an answer, parsed by our rules.

    Args:
        tokens: The parsed answer.
    """

    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "fence": _Code,
        "code_block": _Code,
        "list_item_open": _Item,
        "table_open": _Table,
    }

    def __init__(self, tokens: list[Token]) -> None:
        super().__init__("", hyperlinks=False)
        self.parsed = [_shown(token) for token in tokens]


def _shown(token: Token) -> Token:
    """Return a token in which each character that a terminal would obey is an escape, and line ends are kept."""
    kind = "hardbreak" if token.type == "softbreak" else token.type
    href = {"href": visible_line(str(token.attrs["href"]))} if "href" in token.attrs else {}
    return token.copy(
        type=kind,
        content=visible_lines(token.content),
        attrs={**token.attrs, **href},
        children=None if token.children is None else [_shown(child) for child in token.children],
    )


def _segments(lines: Iterable[Iterable[Segment]]) -> Iterator[Segment]:
    """Yield what is shown of the lines: without commands to the terminal, and without spaces at their ends."""
    for line in lines:
        shown = [Segment(visible_line(each.text), each.style) for each in line if not each.control]
        while shown and not shown[-1].text.rstrip() and not _paints(shown[-1]):
            shown.pop()
        if shown and not _paints(shown[-1]):
            shown[-1] = Segment(shown[-1].text.rstrip(), shown[-1].style)
        yield from shown
        yield Segment.line()


def _paints(segment: Segment) -> bool:
    """Return whether spaces of a segment can be seen."""
    style = segment.style
    return style is not None and (style.bgcolor is not None or bool(style.underline or style.reverse))
