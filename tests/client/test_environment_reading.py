"""How the variables for proxies are read: what the field writes is understood, what cannot be is left out or told."""

from __future__ import annotations

import base64

import pytest

import nomyo
from nomyo.exchange.http.environment import Proxy, proxy_for

PROXY = "http://proxy.example:3128"
NAMES = [f"{scheme}_proxy" for scheme in ("http", "https", "all", "no")]


@pytest.fixture(autouse=True)
def _no_proxy_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*NAMES, *map(str.upper, NAMES), "REQUEST_METHOD"]:
        monkeypatch.delenv(name, raising=False)


LEFT_OUT = [
    ("*", "https://a.example"),
    ("other, *", "https://a.example"),
    ("a.example", "https://a.example"),
    ("a.example", "https://b.a.example"),
    ("A.Example", "https://a.EXAMPLE"),
    (".a.example", "https://b.a.example"),
    (".a.example", "https://a.example"),
    ("*.a.example", "https://b.a.example"),
    ("a.example.", "https://a.example"),
    ("a.example", "https://a.example."),
    ("a.example:443", "https://a.example"),
    ("a.example:8443", "https://a.example:8443"),
    ("https://a.example", "https://a.example"),
    ("HTTPS://a.example/path", "https://a.example"),
    ("all://a.example:8443", "https://a.example:8443"),
    ("10.0.0.0/8", "https://10.1.2.3"),
    ("10.0.0.1/8", "https://10.1.2.3"),
    ("10.0.0.0/255.0.0.0", "https://10.1.2.3"),
    ("10.1.2.3", "https://10.1.2.3:8443"),
    ("10.1.2.3:8443", "https://10.1.2.3:8443"),
    ("10.*", "https://10.1.2.3"),
    ("::1", "https://[::1]"),
    ("0:0:0:0:0:0:0:1", "https://[::1]"),
    ("[::1]", "https://[::1]"),
    ("[::1]:8080", "https://[::1]:8080"),
    ("::1/128", "https://[::1]"),
    ("fd00::/8", "https://[fd12::1]"),
    ("[fd00::]/8", "https://[FD12::1]"),
    ("[fd00::/8]", "https://[fd12::1]"),
    ("10.0.0.0/8", "https://[::ffff:10.1.2.3]"),
    ("localhost,127.0.0.0/8,::1/128", "https://localhost:1234"),
    ("a.example b.example;c.example", "https://b.example"),
    (" , ,a.example, ", "https://a.example"),
    ("bücher.example", "https://xn--bcher-kva.example"),
]
NOT_LEFT_OUT = [
    (f"a.example:{'4' * 5000}", "https://a.example"),
    (f"[::1]:{'4' * 5000}", "https://[::1]"),
    ("", "https://a.example"),
    (",", "https://a.example"),
    (".", "https://a.example"),
    ("example.com", "https://notexample.com"),
    ("b.a.example", "https://a.example"),
    ("*.a.example", "https://a.example"),
    ("a.example:8443", "https://a.example"),
    ("http://a.example", "https://a.example"),
    ("10.0.0.0/8", "https://11.1.2.3"),
    ("10.0.0.0/8", "https://ten.example"),
    ("::1/128", "https://[::2]"),
    ("[::1]:8080", "https://[::1]"),
    ("0.3", "https://10.2.0.3"),
    ("10.0.0.0/99, ::1/129, [, ], [::1, ://, :, /, [x]:y, 1.2.3.4:x, \N{SNOWMAN}..x, %, a b", "https://router.example"),
]


@pytest.mark.parametrize(("no_proxy", "url"), LEFT_OUT)
def test_no_proxy_leaves_out_what_it_means(monkeypatch: pytest.MonkeyPatch, no_proxy: str, url: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert proxy_for(url) is None


@pytest.mark.parametrize(("no_proxy", "url"), NOT_LEFT_OUT)
def test_no_proxy_leaves_out_nothing_else(monkeypatch: pytest.MonkeyPatch, no_proxy: str, url: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert proxy_for(url) is not None


@pytest.mark.parametrize(
    ("variables", "url", "expected"),
    [
        ({"HTTPS_PROXY": PROXY}, "https://a.example", "HTTPS_PROXY"),
        ({"HTTPS_PROXY": PROXY}, "http://a.example", None),
        ({"HTTP_PROXY": PROXY}, "http://a.example", "HTTP_PROXY"),
        ({"HTTP_PROXY": PROXY, "REQUEST_METHOD": "GET"}, "http://a.example", None),
        ({"http_proxy": PROXY, "REQUEST_METHOD": "GET"}, "http://a.example", "http_proxy"),
        ({"ALL_PROXY": PROXY}, "https://a.example", "ALL_PROXY"),
        ({"all_proxy": "http://b.example:1", "HTTPS_PROXY": PROXY}, "https://a.example", "HTTPS_PROXY"),
        ({"ALL_PROXY": "socks5://b.example:1080", "HTTPS_PROXY": PROXY}, "https://a.example", "HTTPS_PROXY"),
        ({"ALL_PROXY": "socks5://b.example:1080", "NO_PROXY": "a.example"}, "https://a.example", None),
        ({"https_proxy": PROXY, "HTTPS_PROXY": "http://b.example:1"}, "https://a.example", "https_proxy"),
        ({"https_proxy": "", "HTTPS_PROXY": PROXY}, "https://a.example", None),
        ({"https_proxy": " "}, "https://a.example", None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "a.example", "no_proxy": ""}, "https://a.example", "HTTPS_PROXY"),
    ],
)
def test_variable_for_the_scheme_wins_over_all_and_lower_case_over_upper(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], url: str, expected: str | None
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = proxy_for(url)
    assert (found.variable if found else None) == expected
    assert found is None or found.url == PROXY


@pytest.mark.parametrize(
    ("value", "url", "credentials"),
    [
        ("proxy.example", "http://proxy.example:80", None),
        ("proxy.example:3128", PROXY, None),
        ("//proxy.example:3128/", PROXY, None),
        ("HTTP://Proxy.Example:3128", PROXY, None),
        ("http://proxy.example:3128/path?query#part", PROXY, None),
        ("https://proxy.example", "https://proxy.example:443", None),
        ("http://[::1]:3128", "http://[::1]:3128", None),
        ("http://bücher.example:3128", "http://xn--bcher-kva.example:3128", None),
        ("http://me:secret@proxy.example:3128", PROXY, "me:secret"),
        ("me:secret@proxy.example:3128", PROXY, "me:secret"),
        ("http://me@proxy.example:3128", PROXY, "me:"),
        ("http://d%40me:p%3A%2F%40ss%25@proxy.example:3128", PROXY, "d@me:p:/@ss%"),
        ("http://me:p@ss@proxy.example:3128", PROXY, "me:p@ss"),
        ("http://me:s%C3%A9cret@proxy.example:3128", PROXY, "me:sécret"),
    ],
)
def test_address_of_a_proxy_is_read_in_each_form_that_the_field_writes(
    monkeypatch: pytest.MonkeyPatch, value: str, url: str, credentials: str | None
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    proxy = proxy_for("https://a.example")
    assert isinstance(proxy, Proxy)
    assert proxy.url == url
    encoded = base64.b64encode((credentials or "").encode()).decode()
    assert proxy.headers == ({"Proxy-Authorization": f"Basic {encoded}"} if credentials else {})
    assert "secret" not in repr(proxy) + proxy.named
    assert encoded == "" or encoded not in repr(proxy)


@pytest.mark.parametrize("value", ["socks5://" + "a" * 100_000, "http://" + "a" * 100_000 + ":port"])
def test_what_an_error_shows_of_a_value_is_bounded(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("ALL_PROXY", value)
    with pytest.raises(nomyo.ConfigurationError) as raised:
        proxy_for("https://a.example")
    assert len(str(raised.value)) < 2000


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("socks5://me:secret@proxy.example:1080", "SOCKS proxy (socks5://proxy.example:1080)"),
        ("socks5h://proxy.example", "SOCKS proxy (socks5h://proxy.example)"),
        ("socks4://proxy.example", "SOCKS proxy (socks4://proxy.example)"),
        ("SOCKS://proxy.example", "SOCKS proxy (socks://proxy.example)"),
        ("ftp://me:secret@proxy.example", "(ftp://proxy.example)"),
        ("secret://proxy.example", "(...://proxy.example)"),
        ("http://", "(http://)"),
        ("http://me:secret@", "(http://)"),
        ("http://me:secret@:3128", "(http://:3128)"),
        ("http://me:secret@proxy.example:99999", "(http://proxy.example:99999)"),
        ("http://proxy.example:0", "(http://proxy.example:0)"),
        ("http://proxy.example:port", "(http://proxy.example:port)"),
        ("http://[::1", "(http://[::1)"),
        ("http://me:sec/ret@proxy.example:3128", "(http://proxy.example:3128)"),
        ("http:/me:secret@proxy.example:3128", "(http://proxy.example:3128)"),
        ("http://pro\x1b[2Jxy:3128", "(http://pro?[2Jxy:3128)"),
    ],
)
def test_proxy_that_cannot_be_used_is_said_by_its_variable_without_credentials(
    monkeypatch: pytest.MonkeyPatch, value: str, shown: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", value)
    with pytest.raises(nomyo.ConfigurationError) as raised:
        proxy_for("https://a.example")
    assert str(raised.value).startswith("ALL_PROXY names ")
    assert shown in str(raised.value)
    assert "sec" not in str(raised.value)
    assert raised.value.__context__ is None
