"""Runs an example against a router, both from the nomyo that is installed: a program of its own, for `smoke`.

Arguments: the example's file; the certificate for 127.0.0.1; its key; the command that starts this Python.
"""

import os
import subprocess
import sys

from nomyo import _core
from nomyo.serve.listener import Listener
from nomyo.serve.router.config import RouterConfig
from nomyo.serve.router.running import RunningRouter

example, certificate, key, *python = sys.argv[1:]
listener = Listener(tls_cert=certificate, tls_key=key)
with RunningRouter(RouterConfig(listener=listener, key_bits=2048)) as router:
    env = {**os.environ, "NOMYO_BASE_URL": router.url, "SSL_CERT_FILE": certificate}
    subprocess.run([*python, "-W", "error", example], check=True, env=env)
subprocess.run([*python, "-m", "nomyo", "doctor"], check=True, stdout=subprocess.DEVNULL)
# Python ends this thread inside the core, for which glibc unwinds the core's frames.
AT_THE_END = "threading.Thread(target=_core.PrivateKey.generate, args=(4096,), daemon=True).start()"
subprocess.run([*python, "-c", f"import threading; from nomyo import _core; {AT_THE_END}"], check=True)
print(_core.build_info())
