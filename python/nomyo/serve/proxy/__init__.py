"""An OpenAI-compatible server on this machine that seals every request for the router. The command is `nomyo proxy`.

    from nomyo import SecureCompletionClient
    from nomyo.serve.proxy import ProxyConfig, create_app

    app = create_app(ProxyConfig(token="..."), SecureCompletionClient())  # an ASGI application

Promises, each held by a test: what a program sends in clear to the proxy leaves this machine sealed; nobody gets an
answer without the token, nor does a page of another origin or under another name (DNS rebinding); the token goes to
nobody, the API key to the router alone; no log line, metric or error of ours holds content, a token or a key.

Modules, from the ground up; each imports only from those above it:

    forms         the form that each path speaks
    refusal       how a request is turned down
    failures      the answer to the caller if the router or the exchange fails
    host_header   the grammar of a `Host` header
    model_names   the models that the proxy lists, and aliases
    config        the settings
    hosts         the names that the proxy answers to, and the origins of pages
    guard         asks each request for the token, and says to browsers what keeps others out
    slots         bounds the requests at the router, and those that wait
    form_request  checks what a caller asks for, before anything is sealed
    completions   the endpoints that take a request and seal it: `POST /v1/chat/completions`
    token_counts  `POST /v1/messages/count_tokens`
    metrics       what the proxy counts, for Prometheus
    page_files    the files of the chat page, read once
    router_key    the fingerprint of the router's key
    app           the proxy as an ASGI application
"""

from nomyo.serve.proxy.app import create_app
from nomyo.serve.proxy.config import ProxyConfig

__all__ = ["ProxyConfig", "create_app"]
