"""A NOMYO router for local work and tests on your own machine. Not for production.

    from nomyo.serve.router import RouterConfig, RunningRouter

    with RunningRouter(RouterConfig(key_bits=2048)) as router:
        ...  # SecureChatCompletion(base_url=router.url, allow_http=True, key_dir=None)

`create_app(config)` is the same router as an ASGI application, for a server of your own.

Promises, each held by a test: no log line and no error body carries plaintext, a key or a token; the private key never
leaves the native core; what an upstream says in an error never reaches a client.

Modules, from the ground up; each imports only from those above it:

    config          the settings
    refusal         how a request is turned down
    limits          how often a caller may ask
    checks          what is checked before and after a request is opened
    keys            the router's RSA keys: the current one, and for a while those before
    protection      what `_metadata` says about this machine
    tool_arguments  arguments for a tool call, made from the tool's JSON Schema
    echo            the built-in model
    upstream        another model: an OpenAI-compatible server
    tpm             quotes of a TPM, by tpm2-tools
    router          one request from sealed bytes to sealed bytes
    app             the router as an ASGI application
    running         a whole router in a thread
"""

from nomyo.serve.router.app import create_app
from nomyo.serve.router.config import RateLimit, RouterConfig, TpmConfig, UpstreamConfig
from nomyo.serve.router.router import Router
from nomyo.serve.router.running import RunningRouter

__all__ = ["RateLimit", "Router", "RouterConfig", "RunningRouter", "TpmConfig", "UpstreamConfig", "create_app"]
