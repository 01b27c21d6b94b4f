"""Secrets that can be told wherever they turn up: texts, keys, passwords; and the pieces by which to tell them."""

from __future__ import annotations

import base64
import random
import string
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from support.memory_scan import Needle
from support.peer import private_key_of

# ASCII, Latin-1, two bytes a character and four: CPython has a form of its own for each (PEP 393).
ALPHABETS = {"ASCII": " ,.-", "Latin-1": "abcde äöüéè", "CJK": "abcde漢字“”—é", "emoji": "abcde漢字🎉🌍é"}
# In characters: on the stack of CPython's encoders, in one piece, in several pieces of our writer.
SHORT, MIDDLE, LONG = 96, 3008, 200_000
MARKER_CHARACTERS = 12
STRIDE_CHARACTERS = 32
PIECE_BYTES = 16


@dataclass(frozen=True)
class Text:
    """A text studded with a marker of ASCII letters, so that any 44 characters of it can be told."""

    secret: str
    content: str = field(repr=False)

    @classmethod
    def draw(cls, secret: str, alphabet: str, length: int) -> Text:
        """Draw one: a marker at the beginning, at every 32nd character, and at the end."""
        choose = random.Random()  # seeded by the system
        marker = "".join(choose.choices(string.ascii_lowercase, k=MARKER_CHARACTERS))
        size, count = STRIDE_CHARACTERS - MARKER_CHARACTERS, length // STRIDE_CHARACTERS
        filling = "".join(choose.choices(alphabet, k=size * count))
        return cls(secret, marker + "".join(filling[at : at + size] + marker for at in range(0, len(filling), size)))

    def needles(self) -> list[Needle]:
        """Return the marker in all encodings: escapes (JSON, URLs) leave its letters alone."""
        return list(_forms_of(self.secret, self.content[:MARKER_CHARACTERS]))


def texts(secret: str) -> list[Text]:
    """Draw five texts: every alphabet, and lengths that are handled differently."""
    kinds = (("ASCII", MIDDLE), ("Latin-1", MIDDLE), ("CJK", LONG), ("emoji", SHORT), ("ASCII", LONG))
    return [
        Text.draw(f"{secret} {number}, {kind}", ALPHABETS[kind], length) for number, (kind, length) in enumerate(kinds)
    ]


def every_text(secret: str) -> list[Text]:
    """Draw a text of every alphabet in every length."""
    return [
        Text.draw(f"{secret}, {length} of {kind}", alphabet, length)
        for kind, alphabet in ALPHABETS.items()
        for length in (SHORT, MIDDLE, LONG)
    ]


def of_texts(drawn: Iterable[Text]) -> list[Needle]:
    """Return the markers of all texts, in all encodings."""
    return [needle for text in drawn for needle in text.needles()]


def of_password(password: str) -> list[Needle]:
    """Return the forms of a password, and how HMAC pads it (RFC 2104, section 2): who sees that has the password."""
    padded = [
        Needle("password", name, bytes(byte ^ pad for byte in password.encode()))
        for name, pad in (("inner pad", 0x36), ("outer pad", 0x5C))
    ]
    return [*_forms_of("password", password), *padded]


def of_bytes(secret: str, content: bytes) -> list[Needle]:
    """Return all pieces of a key: any 31 bytes of it hold one."""
    starts = range(0, len(content) - PIECE_BYTES + 1, PIECE_BYTES)
    return [Needle(secret, "bytes", content[start : start + PIECE_BYTES]) for start in starts]


def of_private_key(secret: str, pem: bytes, password: bytes | None = None) -> list[Needle]:
    """Return the pieces of a key's numbers, most and least significant byte first, and of its PEM without password."""
    key = private_key_of(pem, password)
    private = key.private_numbers()
    numbers = {name: getattr(private, name) for name in ("d", "p", "q", "dmp1", "dmq1", "iqmp")}
    return [*_of_numbers(secret, numbers), *_of_pem(f"{secret}, PEM", key)]


def _of_numbers(secret: str, numbers: dict[str, int]) -> Iterator[Needle]:
    for name, number in numbers.items():
        big_endian = number.to_bytes((number.bit_length() + 7) // 8, "big")
        for form, content in (("big-endian", big_endian), ("little-endian", big_endian[::-1])):
            for needle in of_bytes(secret, content):
                yield Needle(secret, f"{name}, {form}", needle.content)


def _of_pem(secret: str, key: rsa.RSAPrivateKey) -> Iterator[Needle]:
    forms = {
        "PKCS#8": serialization.PrivateFormat.PKCS8,
        "PKCS#1": serialization.PrivateFormat.TraditionalOpenSSL,
    }
    for name, form in forms.items():
        pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        # The modulus comes first, and is public: some 6 lines of 2048 bits, 11 of 4096.
        lines = pem.splitlines()[1:-1]
        public_lines = (key.key_size // 8 + 40) * 4 // 3 // 64 + 1
        for line in lines[public_lines:]:
            for start in range(0, len(line) - 20, 22):
                yield Needle(secret, name, line[start : start + 20])


def _forms_of(secret: str, text: str) -> Iterator[Needle]:
    for encoding in ("utf-8", "utf-16-le", "utf-32-le"):
        yield Needle(secret, encoding, text.encode(encoding))
    for alignment in range(3):
        encoded = base64.b64encode(bytes(alignment) + text.encode())
        # The first and the last characters depend on the neighbours.
        yield Needle(
            secret, f"base64 at {alignment}", encoded[(alignment * 8 + 5) // 6 : (alignment + len(text)) * 8 // 6]
        )
