"""The published DoSP server, driven by a test: hub.py TEMPLATE [KEY=VALUE...]

Says {"port": N} on standard output once it listens. A line on standard input stops it as the
server's own stop() does; the end of standard input ends it at once.
"""

import json
import logging
import os
import sys
import threading

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

from dosp.server import DoSP  # noqa: E402

options = {key: json.loads(value) for key, value in (arg.split("=", 1) for arg in sys.argv[2:])}
server = DoSP(host="127.0.0.1", port=0, ip_template=sys.argv[1], **options)


class Listening(logging.Handler):
    """The server's word that it listens is all that tells when, and on which port."""

    def emit(self, record):
        if record.getMessage().startswith("Server listening"):
            answers.write(json.dumps({"port": server.sock.getsockname()[1]}) + "\n")
            answers.flush()


server.logger.addHandler(Listening())
threading.Thread(target=server.start, daemon=True).start()
if sys.stdin.readline():
    server.stop()
    sys.stdin.readline()
# The server's threads hold the process otherwise.
os._exit(0)
