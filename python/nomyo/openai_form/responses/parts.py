"""The parts of a message's content: text, images, files and sound, as a chat has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from .fields import Fields, given, list_at, malformed, name_in, object_at, text_in

Content = str | list[dict[str, Any]]


def content_at(value: Any, path: str) -> Content:
    """Return the content of a message for a chat: text as a string, anything else as parts.

    Raises:
        MalformedRequestError: A part cannot be sent to a model here.
    """
    if isinstance(value, str):
        return value
    parts = [_part(each, f"{path}[{place}]") for place, each in enumerate(list_at(value, path))]
    return as_content(parts)


def as_content(parts: list[dict[str, Any]]) -> Content:
    """Return parts as content: one text alone as a string, which every model's template takes."""
    if len(parts) == 1 and parts[0]["type"] == "text":
        text: str = parts[0]["text"]
        return text
    return parts


def kind_of(value: Any, path: str, known: Any) -> str:
    """Return the type of a part or item.

    Raises:
        MalformedRequestError: It is none of the known ones.
    """
    kind = value.get("type")
    if not isinstance(kind, str) or kind not in known:
        raise malformed(f"{path}.type", f"must be one of {', '.join(known)}")
    return kind


def _part(value: Any, path: str) -> dict[str, Any]:
    fields = object_at(value, path)
    return _PARTS[kind_of(fields, path, _PARTS)](fields, path)


def _text(fields: Fields, path: str) -> dict[str, Any]:
    return {"type": "text", "text": text_in(fields, "text", path)}


def _image(fields: Fields, path: str) -> dict[str, Any]:
    if fields.get("image_url") is None and fields.get("file_id") is not None:
        raise malformed(f"{path}.file_id", "names a file on another server: send image_url, as a data URL for example")
    url = text_in(fields, "image_url", path)
    if not url.lower().startswith(("data:", "https://")):
        raise malformed(f"{path}.image_url", "must be a data URL or an https URL")
    return {"type": "image_url", "image_url": {"url": url, **given(fields, "detail")}}


def _file(fields: Fields, path: str) -> dict[str, Any]:
    for name in ("file_id", "file_url"):
        if fields.get(name) is not None:
            raise malformed(f"{path}.{name}", "names a file on another server: send file_data")
    data = text_in(fields, "file_data", path)
    return {"type": "file", "file": {"file_data": data, **given(fields, "filename")}}


def _sound(fields: Fields, path: str) -> dict[str, Any]:
    sound = object_at(fields.get("input_audio"), f"{path}.input_audio")
    data, form = (name_in(sound, name, f"{path}.input_audio") for name in ("data", "format"))
    return {"type": "input_audio", "input_audio": {"data": data, "format": form}}


_PARTS: Final[dict[str, Callable[[Fields, str], dict[str, Any]]]] = {
    "input_text": _text,
    "output_text": _text,
    "text": _text,
    "input_image": _image,
    "input_file": _file,
    "input_audio": _sound,
}
