"""path_mtu.py HOST PORT LEN: sends a datagram of so many bytes that may not be fragmented, waits for somebody on
the way to say that it is too long, and prints the MTU of the path as the kernel knows it then."""

import errno
import socket
import sys

# <linux/in.h>; the module has no names for them.
IP_MTU_DISCOVER = 10
IP_PMTUDISC_DO = 2
IP_MTU = 14

host, port, length = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    sender.settimeout(10)
    sender.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
    sender.connect((host, port))
    sender.send(bytes(length))
    # The kernel believes what it is told only as long as the socket that sent is open.
    try:
        sender.recv(1)
    except OSError as error:
        if error.errno != errno.EMSGSIZE:
            raise
    print(sender.getsockopt(socket.IPPROTO_IP, IP_MTU))
