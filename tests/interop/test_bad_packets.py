#!/usr/bin/python3
"""Truncated and foreign packets on the UDP ports of both ends: nothing notices.

Each UDP port of share and of view gets thousands of datagrams: pieces of STUN, DTLS, RTP and RTCP of every length,
random bytes, empty ones. Both go on, with pictures, and the memory of neither grows.
"""
import os
import random
import socket
import struct

import lib

W, H = 320, 240


def udp_ports(pid):
    """[(family, address, port)] of the UDP sockets of a process."""
    inodes = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            link = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            continue
        if link.startswith("socket:["):
            inodes.add(link[8:-1])
    found = []
    for path, family in (("udp", socket.AF_INET), ("udp6", socket.AF_INET6)):
        with open(f"/proc/{pid}/net/{path}") as f:
            for line in f.readlines()[1:]:
                fields = line.split()
                if fields[9] not in inodes:
                    continue
                address, port = fields[1].split(":")
                words = struct.pack(f"={len(address) // 8}I", *(
                    int(address[i:i + 8], 16) for i in range(0, len(address), 8)))
                found.append((family, socket.inet_ntop(family, words), int(port, 16)))
    return found


def datagrams(rng):
    stun = struct.pack(">HHI12s", 1, 24, 0x2112A442, bytes(range(12))) + \
        struct.pack(">HH", 6, 9) + b"user:name" + bytes(3) + struct.pack(">HHI", 0x24, 4, 1)
    dtls = struct.pack(">BHHHIH", 22, 0xfefd, 0, 0, 5, 60) + bytes([1, 0, 0, 48]) + bytes(56)
    rtp = struct.pack(">BBHII", 0x90, 0x80 | 96, 7, 1000, 0x1234) + \
        struct.pack(">HH", 0xbede, 1) + bytes(4) + bytes([0x62, 1, 0x93]) + bytes(80)
    rtcp = struct.pack(">BBHI", 0x81, 206, 2, 1) + struct.pack(">I", 0x1234) + bytes(24)
    for whole in (stun, dtls, rtp, rtcp):
        for n in range(len(whole) + 1):
            yield whole[:n]
        for _ in range(200):
            broken = bytearray(whole)
            broken[rng.randrange(len(broken))] = rng.randrange(256)
            yield bytes(broken)
    for _ in range(500):
        yield bytes(rng.randrange(256) for _ in range(rng.choice((0, 1, 2, 11, 12, 40, 400))))
    yield bytes(20000)


def main():
    with lib.Env("bad packets") as env:
        rng = random.Random(11)
        share = env.share(f"test:{W}x{H}@20")
        view, reader = env.view_raw(share.url, lib.i420_bytes(W, H))
        reader.wait_count(10, 15)
        sent = 0
        memory = [p.rss_kb() for p in (share, view)]
        for p in (share, view):
            ports = udp_ports(p.pid)
            env.check(ports, f"{p.name} has UDP ports: {ports}")
            for family, address, port in ports:
                address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
                if address.startswith("fe80"):
                    continue  # needs a scope
                with socket.socket(family, socket.SOCK_DGRAM) as s:
                    for d in datagrams(rng):
                        try:
                            s.sendto(d, (address, port))
                            sent += 1
                        except OSError:
                            break
        env.check(sent > 3000, f"{sent} bad datagrams were sent")
        count = reader.count
        reader.wait_count(count + 30, 15)
        env.check(share.running() and view.running(), "30 more pictures came")
        env.check(not share.events("viewer-left"), "the viewer stayed connected")
        grown = [p.rss_kb() - m for p, m in zip((share, view), memory)]
        env.check(max(grown) < 50000, f"memory grew by {grown} kB")
        late = env.view(share.url, "--frames", "10")
        env.check(late.wait(20) == 0, "and a new viewer is served")


if __name__ == "__main__":
    main()
