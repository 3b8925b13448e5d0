"""One end of one flow of TCP or UDP, whose content is known to both.

    flow.py serve|dial tcp|udp|udp-gso push|pull ADDRESS

With push the end that dials sends. Each end prints a line of JSON when it is done; the one that serves
prints `ready` before.
"""

import json
import random
import socket
import struct
import sys
import time

PORT = 4000
# The kernel's numbers, which the module does not name.
SO_RCVBUFFORCE = 33
SO_MAX_PACING_RATE = 47
UDP_SEGMENT = 103
TCP_TOTAL_RETRANS_AT = 8 + 23 * 4  # in struct tcp_info of linux/tcp.h

STREAM_LEN = 6 << 20
# Slower than any link here, so that whatever is lost is not lost to a full queue.
BYTES_PER_SECOND = 20 << 20

DATAGRAM_LEN = 1200
# The last one of each batch is shorter, as with a real sender.
LAST_LEN = 700
BATCH = 40
NUM_BATCHES = 40
PAUSE_S = 0.005
END = b"end"
PATIENCE_S = 10

NOISE = random.Random(7).randbytes(STREAM_LEN)


def main():
    role, flow, direction, address = sys.argv[1:]
    is_sender = (role == "dial") == (direction == "push")
    if flow == "tcp":
        connection = tcp(role, address)
        report = send_stream(connection) if is_sender else receive_stream(connection)
    else:
        connection = udp(role, address, is_sender)
        report = send_datagrams(connection, flow) if is_sender else receive_datagrams(connection)
    print(json.dumps(report), flush=True)


def tcp(role, address):
    if role == "dial":
        return socket.create_connection((address, PORT), PATIENCE_S)
    listener = socket.create_server((address, PORT))
    listener.settimeout(PATIENCE_S)
    print("ready", flush=True)
    connection, _ = listener.accept()
    connection.settimeout(PATIENCE_S)
    return connection


def udp(role, address, is_sender):
    connection = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    connection.settimeout(PATIENCE_S)
    connection.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
    if role == "dial":
        connection.connect((address, PORT))
        if not is_sender:
            connection.send(b"here is who wants it")
        return connection
    connection.bind((address, PORT))
    print("ready", flush=True)
    if is_sender:
        _, peer = connection.recvfrom(2048)
        connection.connect(peer)
    return connection


def send_stream(connection):
    connection.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, BYTES_PER_SECOND)
    connection.sendall(NOISE)
    connection.shutdown(socket.SHUT_WR)
    assert connection.recv(1) == b"!", "no answer"
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    (retransmitted,) = struct.unpack_from("=I", info, TCP_TOTAL_RETRANS_AT)
    return {"sent": STREAM_LEN, "retransmitted": retransmitted}


def receive_stream(connection):
    received = bytearray()
    while part := connection.recv(1 << 16):
        received += part
    connection.sendall(b"!")
    return {"received": len(received), "broken": int(received != NOISE)}


def datagram(number):
    length = LAST_LEN if number % BATCH == BATCH - 1 else DATAGRAM_LEN
    begin = number * 101 % (STREAM_LEN - DATAGRAM_LEN)
    return number.to_bytes(4, "big") + NOISE[begin : begin + length - 4]


def send_datagrams(connection, flow):
    if flow == "udp-gso":
        connection.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, DATAGRAM_LEN)
    for batch in range(NUM_BATCHES):
        datagrams = [datagram(number) for number in range(batch * BATCH, (batch + 1) * BATCH)]
        for content in [b"".join(datagrams)] if flow == "udp-gso" else datagrams:
            connection.send(content)
        time.sleep(PAUSE_S)
    try:
        for _ in range(3):
            time.sleep(0.05)
            connection.send(END)
    except ConnectionRefusedError:
        pass  # The other end has heard it and is gone.
    return {"sent": NUM_BATCHES * BATCH}


def receive_datagrams(connection):
    received, broken = set(), 0
    while (content := connection.recv(1 << 16)) != END:
        number = int.from_bytes(content[:4], "big")
        if content == datagram(number):
            received.add(number)
        else:
            broken += 1
    return {"received": len(received), "broken": broken}


main()
