"""Translates the blocks that a user, a system prompt or a tool may say into the content of chat completions.

Chat completions know text, images and files. What has no twin there is refused, because a model that does not see it
would answer another question. `cache_control` says nothing to a model, and is left out.
"""

from __future__ import annotations

import re
from typing import Any, Final

from .._api_form import MalformedRequestError
from .fields import Fields

Part = dict[str, Any]

# Possessive: to try each way to divide white space between its two places would take time by the square of its length.
_BASE64: Final = re.compile(r"[A-Za-z0-9+/\s]++={0,2}+\s*+", re.ASCII)
_IMAGE_TYPE: Final = re.compile(r"image/[A-Za-z0-9.+-]{1,40}", re.ASCII)


def texts_in(owner: Fields, name: str) -> str | list[Part]:
    """Return a content of text alone, of a system prompt for example.

    Args:
        owner: What has the content.
        name: The field: a string, or a list of text blocks.
    """
    if isinstance(owner.get(name), str):
        return owner.text(name)
    return content_of([_text(block) for block in owner.objects(name) if _is_of(block, "text")])


def content_of(parts: list[Part]) -> str | list[Part]:
    """Return parts as the content of a message: a single text as a string, which every chat template takes."""
    if not parts:
        return ""
    if len(parts) == 1 and parts[0]["type"] == "text":
        return str(parts[0]["text"])
    return parts


def parts_of(block: Fields) -> list[Part]:
    """Return a block of a user or of a tool's result as parts of a chat message.

    Raises:
        MalformedRequestError: The block is malformed, or has no twin in chat completions.
    """
    match block.get("type"):
        case "text":
            return [_text(block)]
        case "image":
            return [_image(block)]
        case "document":
            return _document(block)
        case "search_result":
            return _search_result(block)
        case "tool_reference":  # names a tool that a search found: all tools are in the request anyway
            return [{"type": "text", "text": block.filled_text("tool_name")}]
        case _:
            raise unknown_block(block)


def unknown_block(block: Fields) -> MalformedRequestError:
    """Return the error for a block of a type that cannot stand where it stands."""
    block.filled_text("type")
    return block.fault("type", "a block of this type cannot be translated into a chat completion here")


def _is_of(block: Fields, kind: str) -> bool:
    if block.get("type") != kind:
        raise unknown_block(block)
    return True


def _text(block: Fields) -> Part:
    return {"type": "text", "text": block.text("text")}


def _image(block: Fields) -> Part:
    source = block.needed_fields("source")
    match source.get("type"):
        case "base64":
            media_type = source.text("media_type")
            if not _IMAGE_TYPE.fullmatch(media_type):
                raise source.fault("media_type", "must be the media type of an image, image/png for example")
            url = f"data:{media_type};base64,{_base64(source)}"
        case "url":
            url = source.text("url")
            if not url.startswith("https://"):
                raise source.fault("url", "must be an https URL")
        case _:
            raise source.fault("type", "must be base64 or url: files of another server cannot be reached")
    return {"type": "image_url", "image_url": {"url": url}}


def _base64(source: Fields) -> str:
    data = source.filled_text("data")
    if not _BASE64.fullmatch(data):
        raise source.fault("data", "must be base64")
    return data


def _document(block: Fields) -> list[Part]:
    citations = block.fields("citations")
    if citations is not None and citations.flag("enabled"):
        raise block.fault("citations.enabled", "chat completions know no citations")
    source = block.needed_fields("source")
    title = block.text("title") if block.get("title") is not None else ""
    parts: list[Part]
    match source.get("type"):
        case "text":
            parts = [{"type": "text", "text": source.text("data")}]
        case "content":
            parts = _parts_in(source, "content")
        case "base64" if source.get("media_type") == "application/pdf":
            file = {"filename": title or "document.pdf", "file_data": f"data:application/pdf;base64,{_base64(source)}"}
            parts = [{"type": "file", "file": file}]
            title = ""
        case _:
            raise source.fault("type", "must be text, content, or base64 of a PDF: another server's files are not here")
    context = block.text("context") if block.get("context") is not None else ""
    return [*({"type": "text", "text": text} for text in (title, context) if text), *parts]


def _search_result(block: Fields) -> list[Part]:
    head = f"{block.text('title')}\n{block.text('source')}"
    return [{"type": "text", "text": head}, *_parts_in(block, "content")]


def _parts_in(owner: Fields, name: str) -> list[Part]:
    if isinstance(owner.get(name), str):
        return [{"type": "text", "text": owner.text(name)}]
    return [_image(block) if block.get("type") == "image" else _only_text(block) for block in owner.objects(name)]


def _only_text(block: Fields) -> Part:
    _is_of(block, "text")
    return _text(block)
