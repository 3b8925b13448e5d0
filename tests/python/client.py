"""The published DoSP client, driven by a test.

Standard input has one JSON object a line, {"do": NAME, ...}. Each is answered on standard output by
{"ok": RESULT} or {"error": TEXT}. Bytes are hex. The process ends with its standard input.
"""

import json
import os
import sys

# The client prints to standard output, which belongs to the answers.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

import dosp.protocol  # noqa: E402
from dosp.client import Client  # noqa: E402
from dosp.iptools import int_to_ip, ip_to_int  # noqa: E402
from dosp.protocol import S2C, Packet  # noqa: E402

# No answer takes longer, unless it never comes.
TIMEOUT_S = 20
# receive() returns None for handshakes, and for ever once the connection has ended.
MAX_NOTHING = 100

SESSION_ID_LEN = 8
NONCE_LEN = 12

client = None


def draw(avoided, len, system=os.urandom):
    drawn = system(len)
    while avoided.get(len) == drawn[0]:
        drawn = system(len)
    return drawn


# A session id that begins with 0xFF looks like a refusal to the client itself, once in 256
# handshakes. That is its own, and would make one run in some dozen fail.
os.urandom = lambda len: draw({SESSION_ID_LEN: 0xFF}, len)


def avoid_0x15():
    """From now on no nonce begins with 0x15, which ends the tunnel of two published clients."""
    dosp.protocol.get_random_bytes = lambda len: draw({NONCE_LEN: 0x15}, len)


def join(host, port, vip=None, **options):
    global client
    client = Client(host, port, vip=vip, **options)
    client.sock.settimeout(TIMEOUT_S)
    return {"vip": client.vip_int and int_to_ip(client.vip_int), "config": client.config}


def shown(packet):
    source = packet.src_ip and int_to_ip(packet.src_ip)
    return {"type": packet.type, "from": source, "data": packet.payload.hex()}


def packet(type, data=""):
    client.send(Packet(type, bytes.fromhex(data)))


def send(to, data):
    client.send(Packet(S2C, bytes.fromhex(data), dst_ip=ip_to_int(to)))


def send_as(to, source, data):
    """As Client.send, but with somebody else's address in SRC."""
    forged = Packet(S2C, bytes.fromhex(data), dst_ip=ip_to_int(to), src_ip=ip_to_int(source))
    client.sock.sendall(forged.to_bytes())


def receive():
    for _ in range(MAX_NOTHING):
        received = client.receive()
        if received is not None:
            return shown(received)
    raise ConnectionError("nothing more comes")


def handshake(peer, dh=True):
    client.do_c2c_handshake(peer, use_dh=dh)


def answer_handshake(peer):
    """Receives until there is a tunnel with this peer."""
    for _ in range(MAX_NOTHING):
        if ip_to_int(peer) in client.tunnels:
            return
        client.receive()
    raise ConnectionError("no handshake came")


def exchange(peer, count):
    """Sends numbered messages, and receives a numbered answer to each."""
    for number in range(count):
        send(peer, f"ping {number}".encode().hex())
        received = receive()
        if bytes.fromhex(received["data"]) != f"pong {number}".encode():
            raise ValueError(f"answer to {number} is {received}")


def send_many(packets):
    """Several packets in one MPAK."""
    made = []
    for each in packets:
        to = ip_to_int(each["to"]) if "to" in each else None
        made.append(Packet(each["type"], bytes.fromhex(each["data"]), dst_ip=to))
    client.send_multi(made)


def authenticate(token):
    return client.authenticate_admin(token)


def admin(command):
    return client.admin_command(command)


def broadcast(text):
    return client.broadcast(text)


def close(**reason):
    client.close(**reason)


for line in sys.stdin:
    request = json.loads(line)
    try:
        outcome = {"ok": globals()[request.pop("do")](**request)}
    # The client calls exit() where it gives up.
    except BaseException as error:
        outcome = {"error": f"{type(error).__name__}: {error}"}
    answers.write(json.dumps(outcome) + "\n")
    answers.flush()
