#!/usr/bin/python3
"""The emulator against itself: UDP packets with their times from one namespace to the other.

Both sides read one clock (CLOCK_MONOTONIC), so the delay of each packet is known to the microsecond.
What the emulator must never do is asserted (a packet early, out of order, more than the rate);
how late it is depends on the machine's other work, so it is printed, with a wide bound.
    test_lab.py [--seconds N] [--rate PACKETS_A_SECOND]
"""
import argparse
import os
import socket
import struct
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "interop"))
import lib  # noqa: E402
import netlab  # noqa: E402

SIZE, OVERHEAD = 1000, 28  # UDP payload; IPv4 and UDP headers are counted by the lab


def send(ip, port, count, rate):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    begin = time.monotonic()
    for i in range(count):
        wait = begin + i / rate - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        s.sendto(struct.pack("<Id", i, time.monotonic()).ljust(SIZE, b"x"), (ip, int(port)))


def receive(ip):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    s.bind((ip, 0))
    s.settimeout(1.5)
    print(s.getsockname()[1], flush=True)
    out, first = [], True
    while True:
        try:
            data = s.recv(2000)
        except socket.timeout:
            if first:
                continue
            break
        first = False
        out.append((*struct.unpack_from("<Id", data), time.monotonic()))
    for n, sent, came in out:
        print(n, f"{sent:.6f}", f"{came:.6f}")


def exchange(lab, count, rate):
    """[(number, seconds sent, seconds come), …] in the order of coming."""
    r = lab.b.popen([sys.executable, __file__, "receive", lab.b.ip], stdout=subprocess.PIPE, text=True)
    try:
        port = r.stdout.readline().strip()
        lab.a.run([sys.executable, __file__, "send", lab.b.ip, port, count, rate], timeout_s=60)
        out, _ = r.communicate(timeout=30)
    finally:
        if r.poll() is None:
            r.kill()
            r.wait()
    rows = (line.split() for line in out.splitlines())
    return [(int(n), float(s), float(c)) for n, s, c in rows]


def quantile(values, share):
    v = sorted(values)
    return v[min(len(v) - 1, int(share * len(v)))]


def main():
    if len(sys.argv) > 1 and sys.argv[1] == "send":
        return send(sys.argv[2], sys.argv[3], int(sys.argv[4]), float(sys.argv[5]))
    if len(sys.argv) > 1 and sys.argv[1] == "receive":
        return receive(sys.argv[2])
    p = argparse.ArgumentParser()
    p.add_argument("--seconds", type=float, default=2)
    p.add_argument("--rate", type=float, default=1000)
    args = p.parse_args()
    with lib.Env("the lab's own accuracy") as env, \
            netlab.need(a_to_b="rate=20M delay=25", b_to_a="delay=25") as lab:
        count = int(args.seconds * args.rate)
        rows = exchange(lab, count, args.rate)
        stats = lab.stats()
        env.check(len(rows) == count, f"{len(rows)} packets of {count} came")
        env.check([r[0] for r in rows] == list(range(count)), "in their order")
        wire = (SIZE + OVERHEAD) * 8 / 20e6
        error = [c - s - 0.025 - wire for _, s, c in rows]
        env.check(min(error) > -2e-6, "none is early")
        late = [quantile(error, x) * 1e6 for x in (0.5, 0.99)]
        me = stats["self"]
        env.check(late[0] < 20000, f"late by {late[0]:.0f} µs p50, {late[1]:.0f} p99, {max(error) * 1e6:.0f} most, between "
                  f"the programs (the queue for a packet before it is in that); the emulator's own share: {me['late_p50_us']} p50, "
                  f"{me['late_p99_us']} p99, {me['late_max_us']} most; {me['cpu_us_per_packet']} µs of CPU a packet")

        lab.set("a->b", "rate=2M queue=100 delay=10")
        lab.reset()
        rows = exchange(lab, 1500, 1000)
        one = lab.stats()["a->b"]
        span = rows[-1][2] - rows[0][2]
        bps = (len(rows) - 1) * (SIZE + OVERHEAD) * 8 / span
        env.check(1.8e6 < bps < 2.04e6, f"2 Mb/s carry {bps / 1e6:.3f} Mb/s")
        env.check(one["overflowed"] == 1500 - len(rows) and 90e3 < one["queue_p95_us"] <= 101e3,
                  f"the queue of 100 ms was full, p95 {one['queue_p95_us']} µs, and {one['overflowed']} were dropped")

        lab.set("a->b", "rate=0 loss=10 delay=0")
        rows = exchange(lab, 2000, 2000)
        env.check(120 < 2000 - len(rows) < 280, f"of 10 % loss: {2000 - len(rows)} of 2000 packets")
        try:
            lab.set("a->b", "rate=fast")
            env.check(False, "a word that means nothing is refused")
        except ValueError as e:
            env.check(True, f"a word that means nothing is refused: {e}")
        pid = lab.p.pid
    env.check(not os.path.exists(f"/proc/{pid}"), "the emulator is gone")


if __name__ == "__main__":
    main()
