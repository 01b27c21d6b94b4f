"""Markdown in an answer: elements are built for it, links lead nowhere, and no text takes the page long."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from support.faults import FaultyRouter
from support.odd_answers import answer_with, completion
from support.page_scene import Visit

ANSWER = """### Steps ##
Some **bold**, *emphasis*, ***both***, `a *b*`, ~~old~~, snake_case_name, 2 * 3 * 4, \\*no\\*, **open

1. first
   - nested
     goes on

   ```sh
   ls
   ```
2. second

> quoted
> - item

| name | value |
|:-----|------:|
| a \\| b | `1` |
| c |

---
[label](https://example.org/a_(b) "title") ![picture](http://x/y.png) [js](javascript:alert(1)) [http://z](http://z)
~~~
never closed"""
ELEMENTS = (
    "<h3>Steps</h3>"
    "<p>Some <strong>bold</strong>, <em>emphasis</em>, <em><strong>both</strong></em>, <code>a *b*</code>,"
    " <del>old</del>, snake_case_name, 2 * 3 * 4, *no*, **open</p>"
    '<ol start="1"><li><p>first</p><ul><li><p>nested\ngoes on</p></li></ul>'
    '<div><div><span>sh</span><button type="button" aria-label="Copy code" aria-live="polite">Copy</button></div>'
    "<pre><code>ls</code></pre></div></li><li><p>second</p></li></ol>"
    "<blockquote><p>quoted</p><ul><li><p>item</p></li></ul></blockquote>"
    '<div tabindex="0" role="group" aria-label="Table"><table><thead><tr><th>name</th><th>value</th></tr></thead>'
    "<tbody><tr><td>a | b</td><td><code>1</code></td></tr><tr><td>c</td><td></td></tr></tbody></table></div>"
    "<hr>"
    "<p><span><span>label</span> <span>https://example.org/a_(b)</span></span>"
    " <span><span>Image: picture</span> <span>http://x/y.png</span></span>"
    " <span><span>js</span> <span>javascript:alert(1)</span></span>"
    " <span><span>http://z</span></span></p>"
    '<div><div><span>code</span><button type="button" aria-label="Copy code" aria-live="polite">Copy</button></div>'
    "<pre><code>never closed</code></pre></div>"
)
WITHOUT_CLASSES = """(answer) => {
    const copy = answer.cloneNode(true);
    for (const each of copy.querySelectorAll("*")) each.removeAttribute("class");
    return copy.innerHTML;
}"""
COUNT_ELEMENTS = """async (texts) => {
    const { markdown } = await import(new URL("/markdown.js", location));
    return texts.map((text) => {
        const box = document.createElement("div");
        for (const each of markdown(text)) box.append(each);
        return [box.querySelectorAll("*").length, box.textContent.endsWith("the end")];
    });
}"""
# What a parser that goes back and forth would never come to the end of.
LONG = {
    "links": "[x](" * 30_000,
    "brackets": "[" * 100_000,
    "marks": "*a **b _c " * 15_000,
    "ticks": "`a``b```c" * 15_000,
    "table": "a|b\n-|-\n" + "1|2\n" * 15_000,
    "ruler": "a|b\n" + "-" * 100_000 + "x",
    "quotes": ">" * 50_000,
    "lists": "- a\n" * 15_000,
    "nested": "\n".join(" " * (2 * depth) + "- x" for depth in range(500)),
    "spaces": "```" + " " * 100_000 + "`",
}


def test_markdown_becomes_elements(visited: Visit, faulty_router: FaultyRouter) -> None:
    answer_with(faulty_router, completion({"content": ANSWER}))
    visited.open()
    visited.ask("hello")

    expect(visited.answers.locator("h3")).to_have_text("Steps")
    assert visited.answers.evaluate(WITHOUT_CLASSES) == ELEMENTS
    expect(visited.page.locator("a")).to_have_count(0)
    assert all(url.startswith(visited.proxy.url) for url in visited.requests)


def test_every_text_is_shown_in_time_and_whole(visited: Visit) -> None:
    visited.open()
    texts = [f"{text}\n\nthe end" for text in LONG.values()]
    counts, are_whole = zip(*visited.page.evaluate(COUNT_ELEMENTS, texts), strict=True)
    assert all(are_whole)
    assert max(counts) < 30_000


@pytest.mark.parametrize("kind", ["answer", "code"])
def test_copy_is_what_is_shown(visited: Visit, faulty_router: FaultyRouter, kind: str) -> None:
    visited.page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=visited.proxy.url)
    answer_with(faulty_router, completion({"content": "**So:**\n```\na\u202eb\n```"}))
    visited.open()
    visited.ask("hello")
    visited.press(f"Copy {kind}")

    expect(visited.page.get_by_role("button", name=f"Copy {kind}")).to_have_text("Copied")
    copied = {"answer": "**So:**\n```\na\\u{202e}b\n```", "code": "a\\u{202e}b"}
    assert visited.page.evaluate("navigator.clipboard.readText()") == copied[kind]


def test_copy_works_where_the_browser_gives_no_clipboard(visited: Visit) -> None:
    visited.page.context.grant_permissions(["clipboard-read"], origin=visited.proxy.url)
    visited.open()
    visited.ask("**so**")
    visited.page.evaluate("navigator.clipboard.writeText = undefined")  # as in a page that came in clear from elsewhere
    visited.press("Copy answer")

    expect(visited.page.get_by_role("button", name="Copy answer")).to_have_text("Copied")
    expect(visited.page.locator("textarea.unseen")).to_have_count(0)
    assert visited.page.evaluate("navigator.clipboard.readText()") == "**so**"
