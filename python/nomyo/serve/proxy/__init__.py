"""An OpenAI-compatible server on this machine, whose every request travels on sealed. The command is `nomyo proxy`.

    from nomyo import SecureCompletionClient
    from nomyo.serve.proxy import ProxyConfig, create_app

    app = create_app(ProxyConfig(token="..."), SecureCompletionClient())  # an ASGI application

Promises, each held by a test: what a program sends in clear to the proxy leaves this machine sealed; nobody gets an
answer without the token, nor does a page of another origin or under another name (DNS rebinding); the token goes to
nobody, the API key to the router alone; no log line, metric or error of ours holds content, a token or a key.
"""

from nomyo.serve.proxy.app import create_app
from nomyo.serve.proxy.config import ProxyConfig

__all__ = ["ProxyConfig", "create_app"]
