"""Asks `nomyo proxy` of this container whether it serves; exit code 0 if it does. The image has no curl."""

import http.client
import os

port = int(os.environ.get("NOMYO_HEALTH_PORT", "8800"))
connection = http.client.HTTPConnection("127.0.0.1", port, timeout=4)  # no proxy of the environment is asked
try:
    connection.request("GET", "/healthz")
    status = connection.getresponse().status
except (OSError, http.client.HTTPException) as error:
    raise SystemExit(f"there is no answer at port {port}: {error}") from None
if status != http.client.OK:
    raise SystemExit(f"port {port} answers with HTTP {status}")
