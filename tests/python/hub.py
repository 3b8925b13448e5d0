"""The published DoSP server, driven by a test: hub.py TEMPLATE HOST [KEY=VALUE...]

Says {"port": N} on standard output once it listens. Standard input has one JSON value a line: null
stops it as the server's own stop() does; [HOST, PORT, TEMPLATE] adds a peer, and "routes" asks for
the templates that it knows a way to, each of which is answered with a line. The end of standard input
ends it at once.
"""

import json
import logging
import os
import socket
import sys
import threading

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

from dosp.server import DoSP  # noqa: E402

host = sys.argv[2]
options = {key: json.loads(value) for key, value in (arg.split("=", 1) for arg in sys.argv[3:])}
server = DoSP(host=host, port=0, ip_template=sys.argv[1], **options)


class FromHost(socket.socket):
    """Dials from the address that it listens on, as on a host of its own."""

    def connect(self, address):
        self.bind((host, 0))
        super().connect(address)


def answer(value):
    answers.write(json.dumps(value) + "\n")
    answers.flush()


class Listening(logging.Handler):
    """The server's word that it listens is all that tells when, and on which port."""

    def emit(self, record):
        if record.getMessage().startswith("Server listening"):
            answer({"port": server.sock.getsockname()[1]})


socket.socket = FromHost
server.logger.addHandler(Listening())
threading.Thread(target=server.start, daemon=True).start()
for line in sys.stdin:
    request = json.loads(line)
    if request is None:
        server.stop()
    elif request == "routes":
        answer([*server.direct_templates, *server.learned_next_hops])
    else:
        answer(server.add_peer_server(*request))
# The server's threads hold the process otherwise.
os._exit(0)
