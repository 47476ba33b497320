#!/usr/bin/python3
"""A long run at 20 Mb/s over a network that loses: memory is flat, and packets allocate nothing.

    soak_loss.py [--seconds 600] [--output FILE.json]

scene_send and scene_recv (the public library, without encoder and decoder) in the lab: 2 % of the packets are
lost in both directions, the round trip is 40 ms. Sampled each second: resident memory, and all allocations of both
processes, all threads (alloc_count). Some are made for each picture (an access unit), some by the timers of libnice;
one for each packet would show.
"""
import argparse
import json
import os
import statistics
import struct
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "interop"), os.path.join(HERE, "..", "bench")]
import lib  # noqa: E402
import netlab  # noqa: E402
import scene_run as run  # noqa: E402


class Counted:
    """An Env whose programs count their allocations."""

    def __init__(self, env):
        self.env = env

    def spawn(self, name, argv, **kw):
        return self.env.spawn(name, argv, extra_env={"LD_PRELOAD": os.environ["ALLOC_COUNT_SO"],
                                                     "ALLOC_COUNT": self.path(name)}, **kw)

    def path(self, name):
        return self.env.path(name + ".allocations")

    def count(self, name):
        with open(self.path(name), "rb") as f:
            return struct.unpack("Q", f.read(8))[0]


def packets_sent(log):
    return int(log.rows("stats")[-1][2])


def flat(kb):
    third = max(1, len(kb) // 3)
    return statistics.median(kb[:third]), statistics.median(kb[-third:])


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--seconds", type=float, default=600)
    ap.add_argument("--output")
    a = ap.parse_args()
    with lib.Env(f"20 Mb/s with loss over {a.seconds:.0f} s", time_limit_s=a.seconds + 180) as env, \
            netlab.need(a_to_b="rate=40M delay=20 queue=300 loss=2", b_to_a="delay=20 loss=2") as lab:
        counted, peer = Counted(env), run.HevcastPeer()
        send_log, recv_log = env.path("send.log"), env.path("recv.log")
        send, url = peer.sender(counted, lab.a, send_log, 0, {"ceiling": 22000000})
        recv = peer.receiver(counted, lab.b, url, recv_log, {})
        procs, send_rows, recv_rows = {"scene_send": send, "scene_recv": recv}, run.Log(send_log), run.Log(recv_log)
        run.wait_first(recv_rows)
        run.wait_s(min(60, max(15, a.seconds / 5)), procs.values())  # rings and pools grow to what they need
        kb = {name: [] for name in procs}
        begin_us, at_first = run.now_us(), {n: counted.count(n) for n in procs}
        packets, cpu = packets_sent(send_rows), {n: p.cpu_s() for n, p in procs.items()}
        end = time.monotonic() + a.seconds
        while time.monotonic() < end:
            run.wait_s(1, procs.values())
            for name, p in procs.items():
                kb[name].append(p.rss_kb())
        end_us, at_last = run.now_us(), {n: counted.count(n) for n in procs}
        packets = packets_sent(send_rows) - packets
        passed = (end_us - begin_us) / 1e6
        m = run.measure(send_rows, recv_rows, begin_us, end_us)
        m["mbps"] = m["bytes"] * 8 / 1e6 / passed
        env.check(m["mbps"] > 15 and m["shown_share"] > 0.98,
                  f"{m['mbps']:.1f} Mb/s, {packets} packets, {100 * m['shown_share']:.2f} % of {m['sent']} "
                  f"pictures shown, freeze at most {m['freeze_ms']:.0f} ms")
        for name in procs:
            early, late = flat(kb[name])
            n = at_last[name] - at_first[name]
            m[name] = {"kb_first_third": early, "kb_last_third": late, "kb_max": max(kb[name]),
                       "allocations": n, "a_packet": n / packets, "a_picture": n / m["sent"],
                       "a_second": n / passed, "cpu": (procs[name].cpu_s() - cpu[name]) / passed}
            env.check(late < early * 1.02 + 1024,
                      f"{name}: memory is flat: {early:.0f} kB in the first third, {late:.0f} in the last, at "
                      f"most {max(kb[name])}")
            env.check(n / packets < 0.2,
                      f"{name}: {n / packets:.3f} allocations a packet, {n / m['sent']:.1f} a picture, "
                      f"{n / passed:.0f} a second; {m[name]['cpu'] * 100:.1f} % of a core")
        m["packets"], m["seconds"] = packets, passed
        if a.output:
            with open(a.output, "w") as f:
                json.dump(m, f, indent=1)


if __name__ == "__main__":
    main()
