#!/usr/bin/python3
"""The scenes of a bad network: hevcast and its peers on the same emulated links, side by side.

    scenes_net.py [--only ROW[,ROW]] [--peer hevcast,gstreamer,chromium] [--seconds N] [--seed N]
                  [--output FILE.json] [--list] [--beside]

Most rows drive hevcast's public library with access units whose sizes and references follow a recorded
encode of a busy 1080p30 screen (scene_send), and receivers that check references without decoding
(scene_recv); the rows "whole-…" encode and decode for real at 720p30. The network is tests/lab, the link
counts IP packets. A row during which the machine was over 80 % busy is void and says so: the
peers then compete for the processor, not for the link. Exit status 1: a peer failed to run; goals
missed are told in the table, and by --check as exit status 2. --beside runs hevcast and GStreamer, which need little
CPU, at the same time, each on a link of its own: all rows with all peers take some 18 minutes.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import scene_run as run
import scene_table
from scene_run import lib, netlab

ONE_WAY = "delay={:g}"


class Row:
    rows = {}

    def __init__(self, name, title, seconds, peers=("hevcast", "gstreamer", "chromium")):
        self.name, self.title, self.seconds, self.peers = name, title, seconds, peers

    def __call__(self, function):
        self.run = function
        Row.rows[self.name] = self
        return self


def goal(text, value, good, unit=""):
    return {"goal": text, "value": value, "unit": unit, "met": bool(good)}


def less(text, value, limit, unit="ms"):
    return goal(f"{text} <= {limit:g} {unit}", value, value is not None and value <= limit, unit)


def more(text, value, limit, unit="%"):
    return goal(f"{text} >= {limit:g} {unit}", value, value is not None and value >= limit, unit)


class Scene:
    """One row with one peer: the lab, the two ends, and the time of measuring."""

    def __init__(self, env, peer, a):
        self.env, self.peer, self.a = env, peer, a

    def open(self, a_to_b, b_to_a, start_bps, **options):
        self.lab = netlab.Lab(a_to_b, b_to_a, seed=self.a.seed)
        self.run = run.Run(self.env, self.lab, self.peer)
        self.send_p, self.url, self.send = self.run.sender(start_bps, **options)
        self.recv_p, self.recv = self.run.receiver(self.url)
        run.wait_first(self.recv)
        return self

    def settle(self, seconds):
        run.wait_s(seconds, self.run.procs)
        self.begin()

    def begin(self):
        self.lab.reset()
        self.begin_us, self.cpu0 = run.now_us(), self.run.cpu_s()

    def during(self, seconds):
        run.wait_s(seconds, self.run.procs)
        self.end_us = run.now_us()
        self.stats = self.lab.stats()
        self.cpu = (self.run.cpu_s() - self.cpu0) / (self.end_us - self.begin_us) * 1e6
        time.sleep(1)  # what was sent last arrives
        if hasattr(self.peer, "finish"):
            self.peer.finish(self)
        m = run.measure(self.send, self.recv, self.begin_us, self.end_us)
        link = self.stats["a->b"]
        m["use_percent"] = 100 * run.series_use(self.stats, 0, (self.end_us - self.begin_us) / 1e6)
        m["queue_p95_ms"] = link["queue_p95_us"] / 1000
        m["queue_p50_ms"] = link["queue_p50_us"] / 1000
        m["shown_percent"] = 100 * m.pop("shown_share")
        m["overflowed"], m["lost"] = link["overflowed"], link["lost"]
        m["cpu"] = self.cpu
        m.update(self.peer.extra(self) if hasattr(self.peer, "extra") else {})
        return m

    def close(self):
        if hasattr(self, "lab"):
            for p in reversed(self.run.procs if hasattr(self, "run") else self.env.procs):
                p.end()
            self.lab.close()


# ---------------------------------------------------------------- the rows

@Row("busy", "10 Mb/s, 40 ms RTT, queue of 300 ms, busy", 30)
def busy(s, seconds):
    s.open("rate=10M delay=20 queue=300", "delay=20", 8e6).settle(8)
    m = s.during(seconds)
    return m, [more("link used", m["use_percent"], 90), less("queueing delay p95", m["queue_p95_ms"], 40)]


@Row("steps", "10 -> 2 -> 10 Mb/s, 40 ms RTT, queue of 300 ms", 35)
def steps(s, seconds):
    drop, rise = 5.0, 5.0 + seconds * 0.4
    s.open("rate=10M delay=20 queue=300", "delay=20", 8e6).settle(8)
    s.lab.plan("a->b", [(drop, "rate=2M"), (rise, "rate=10M")])
    m = s.during(seconds)
    at = [s.begin_us + int(1e6 * x) for x in (drop + 1.5, rise)]
    low = [x.latency / 1000 for x in map(run.Shown, s.recv.rows("au")) if at[0] <= x.t < at[1]]
    m["low_latency_p95_ms"] = run.quantile(low, 0.95)
    m["low_use_percent"] = 100 * run.series_use(s.stats, drop + 1.5, rise)
    m["again_s"] = run.first_use_s(s.stats, rise, 0.8)
    return m, [less("latency p95 from 1.5 s after the drop", m["low_latency_p95_ms"], 140),
               more("used of 2 Mb/s", m["low_use_percent"], 85),
               less("80 % of 10 Mb/s again after", m["again_s"], 8, "s"),
               less("longest freeze", m["freeze_ms"], 400)]


@Row("loss5", "5 % random loss, 50 ms RTT, 6 Mb/s", 30)
def loss5(s, seconds):
    s.open("rate=6M delay=25 queue=300 loss=5", "delay=25 loss=5", 4e6).settle(8)
    m = s.during(seconds)
    return m, [more("pictures shown", m["shown_percent"], 99.5), less("latency p95", m["latency_p95_ms"], 125),
               less("key frames asked for", m["keys_asked"], 0, "")]


@Row("burst5", "5 % loss in bursts of 8, 150 ms RTT, 6 Mb/s", 30)
def burst5(s, seconds):
    s.open("rate=6M delay=75 queue=300 burst=5:8", "delay=75", 4e6).settle(8)
    m = s.during(seconds)
    return m, [less("longest freeze", m["freeze_ms"], 500), more("pictures shown", m["shown_percent"], 98)]


@Row("loss20", "20 % random loss, 100 ms RTT, 6 Mb/s", 30)
def loss20(s, seconds):
    s.open("rate=6M delay=50 queue=300 loss=20", "delay=50 loss=20", 3.6e6).settle(8)
    m = s.during(seconds)
    return m, [more("pictures shown", m["shown_percent"], 95), less("longest freeze", m["freeze_ms"], 1000),
               more("link used", m["use_percent"], 60)]


@Row("keys", "5 % loss, 50 ms RTT, a keystroke every 2 s", 60)
def keys(s, seconds):
    s.open("rate=6M delay=25 queue=300 loss=5", "delay=25 loss=5", 1e6, keys=2).settle(4)
    m = s.during(seconds)
    return m, [less("each on the screen within", m["latency_max_ms"], 150),
               more("keystrokes shown", m["shown_percent"], 100)]


@Row("jitter", "jitter +-30 ms with reordering, then none; 10 Mb/s, 100 ms RTT", 30)
def jitter(s, seconds):
    s.open("rate=10M delay=50 queue=300 jitter=30 unordered=1", "delay=50", 6e6).settle(8)
    calm = seconds / 2
    s.lab.plan("a->b", [(calm, "jitter=0 unordered=0")])
    m = s.during(seconds)
    at = s.begin_us + int(1e6 * (calm + min(10, calm / 2)))
    after = [x.latency / 1000 for x in map(run.Shown, s.recv.rows("au")) if at <= x.t < s.end_us]
    m["calm_latency_p50_ms"] = run.quantile(after, 0.5)
    return m, [more("pictures shown", m["shown_percent"], 100), less("key frames asked for", m["keys_asked"], 0, ""),
               less("latency p50 10 s after the jitter ended", m["calm_latency_p50_ms"], 100)]


@Row("joins", "100 joins and leaves in a minute, 10 viewers steady", 60, peers=("hevcast",))
def joins(s, seconds):
    s.lab = netlab.Lab("rate=200M delay=5", "delay=5", seed=s.a.seed)
    s.run = run.Run(s.env, s.lab, s.peer)
    s.send_p, s.url, s.send = s.run.sender(1e6, ceiling=1000000)
    steady_p, s.recv = s.run.receiver(s.url, viewers=10)
    lib.wait_until("ten viewers watch", lambda: len({r[0] for r in s.recv.rows("au")}) == 10, 40)
    warm_p, _ = s.run.receiver(s.url, visits=10, seconds=4)
    warm_p.wait(30)
    s.run.procs.remove(warm_p)
    s.begin()
    kb = s.send_p.rss_kb()
    visits = max(1, round(seconds * 100 / 60))
    p, visitors = s.run.receiver(s.url, visits=visits, seconds=seconds)
    s.run.procs.remove(p)  # it may end before the others
    m = s.during(seconds)
    p.wait(60)
    each = [run.measure(s.send, s.recv, s.begin_us, s.end_us, viewer=v) for v in range(10)]
    m["freeze_ms"] = max(x["freeze_ms"] for x in each)
    m["shown_percent"] = 100 * min(x["shown_share"] for x in each)
    keys = sorted(int(r[0]) for r in s.send.rows("key"))
    m["keys_apart_ms"] = min((b - a for a, b in zip(keys, keys[1:])), default=10**9) / 1000
    m["joined"] = len({r[0] for r in visitors.rows("au")})
    m["memory_grew_kb"] = s.send_p.rss_kb() - kb
    m["memory_kb"] = s.send_p.rss_kb()
    return m, [less("longest freeze of the steady", m["freeze_ms"], 200),
               more("key requests apart", m["keys_apart_ms"], 299, "ms"),
               more("visitors that saw a picture", m["joined"], visits, ""),
               less("memory grew by", m["memory_grew_kb"], 2000, "kB")]


@Row("pair", "two streams on one link: 10 Mb/s, 40 ms RTT, queue of 300 ms", 40)
def pair(s, seconds):
    s.open("rate=10M delay=20 queue=300", "delay=20", 4e6)
    _, url2, send2 = s.run.sender(4e6)
    _, recv2 = s.run.receiver(url2)
    run.wait_first(recv2)
    s.settle(20)
    m = s.during(seconds)
    n = run.measure(send2, recv2, s.begin_us, s.end_us)
    m["share_percent"] = 100 * m["bytes"] / max(1, m["bytes"] + n["bytes"])
    m["second_latency_p95_ms"] = n["latency_p95_ms"]
    low = min(m["share_percent"], 100 - m["share_percent"])
    return m, [more("the smaller share", low, 40)]


TCP_SERVER = """
import socket, sys
s = socket.create_server((sys.argv[1], 0))
print(s.getsockname()[1], flush=True)
c, _ = s.accept()
data = b"x" * 65536
try:
    while True:
        c.sendall(data)
except OSError:
    pass
"""
TCP_CLIENT = """
import socket, sys
c = socket.create_connection((sys.argv[1], int(sys.argv[2])))
while c.recv(1 << 20):
    pass
"""


@Row("tcp", "beside a TCP download: 10 Mb/s, 40 ms RTT, queue of 300 ms", 40)
def tcp(s, seconds):
    s.open("rate=10M delay=20 queue=300", "delay=20", 4e6).settle(5)
    server = s.env.spawn("tcp-server", s.lab.a.wrap(["/usr/bin/python3", "-c", TCP_SERVER, s.lab.a.ip]))
    lib.wait_until("the TCP server listens", lambda: server.out().endswith(b"\n"), 10)
    client = s.env.spawn("tcp-client", s.lab.b.wrap(["/usr/bin/python3", "-c", TCP_CLIENT, s.lab.a.ip,
                                                     server.out().decode().strip()]))
    s.settle(10)
    m = s.during(seconds)
    for p in (client, server):
        p.end()
    m["share_percent"] = 100 * m["bytes"] * 8 / 1e7 / ((s.end_us - s.begin_us) / 1e6)
    return m, [more("share of the link", m["share_percent"], 20),
               less("latency p95", m["latency_p95_ms"], 20 + 300 + 50)]


# ---------------------------------------------------------------- with real encoding and decoding

W, H = 1280, 720


@Row("whole-loss5", "share and view of a moving picture, 720p30: 5 % random loss, 50 ms RTT, 6 Mb/s", 20, peers=("hevcast",))
def whole_loss5(s, seconds):
    s.lab = netlab.Lab("rate=6M delay=25 queue=300 loss=5", "delay=25 loss=5", seed=s.a.seed)
    share = s.env.share(f"test:{W}x{H}@30", listen=s.lab.a.ip + ":0", side=s.lab.a)
    view = s.env.view(share.url, "--raw", "/dev/null", side=s.lab.b)
    view.wait_event("first-picture", 20)
    time.sleep(6)
    s.lab.reset()
    before, cpu, begin = view.last_stats(), share.cpu_s() + view.cpu_s(), time.monotonic()
    run.wait_s(seconds, [share, view])
    after, link = view.last_stats(), s.lab.stats()["a->b"]
    passed = time.monotonic() - begin
    more_of = lambda k: after.get(k, 0) - before.get(k, 0)  # noqa: E731
    m = {"cpu": (share.cpu_s() + view.cpu_s() - cpu) / passed, "fps": more_of("frames_decoded") / passed,
         "latency_p50_ms": after["latency_p50_us"] / 1000, "latency_p95_ms": after["latency_p95_us"] / 1000,
         "keys_asked": more_of("plis"), "freezes": more_of("freezes"), "queue_p95_ms": link["queue_p95_us"] / 1000,
         "use_percent": 100 * run.series_use(s.lab.stats(), 0, passed),
         "shown_percent": 100 - 100 * more_of("frames_dropped") / max(1, more_of("frames_received"))}
    return m, [more("pictures not dropped", m["shown_percent"], 99.5), less("freezes", m["freezes"], 0, ""),
               less("latency p95, with encoding and decoding", m["latency_p95_ms"], 125),
               less("key frames asked for", m["keys_asked"], 0, "")]


@Row("whole-idle", "share of a still 720p screen, then all of it changes: 20 Mb/s, 40 ms RTT", 60, peers=("hevcast",))
def whole_idle(s, seconds):
    s.lab = netlab.Lab("rate=20M delay=20 queue=300", "delay=20", seed=s.a.seed)
    s.env.xvfb(W, H)
    screen = lib.Show(s.env, W, H)
    screen.show(lib.desktop(W, H, seed=1))
    share = s.env.share("--no-cursor", listen=s.lab.a.ip + ":0", side=s.lab.a)
    view, reader = s.env.view_raw(share.url, lib.i420_bytes(W, H), side=s.lab.b)
    reader.wait_count(1, 20)
    run.wait_s(seconds, [share, view])
    page = lib.desktop(W, H, seed=2)
    begin = time.monotonic()
    screen.show(page)
    value, _ = reader.wait_good(lambda data: lib.psnr_y(data, page), 38, 10)
    m = {"sharp_s": time.monotonic() - begin, "psnr_y": value, "fps": None}
    return m, [more("PSNR-Y of the new screen", value, 38, "dB"), less("complete and sharp after", m["sharp_s"], 1, "s")]


# ---------------------------------------------------------------- the run

def columns(m):
    f = lambda k, d=0: "-" if m.get(k) is None else f"{m[k]:.{d}f}"  # noqa: E731
    return (f"{f('use_percent')} % used, queue p95 {f('queue_p95_ms')} ms, latency {f('latency_p50_ms')}/{f('latency_p95_ms')} ms, "
            f"freeze {f('freeze_ms')} ms, shown {f('shown_percent', 1)} %, {f('fps', 1)} fps, keys {m.get('keys_asked', '-')}, "
            f"CPU {f('cpu', 2)}")


def run_row(row, peer, a):
    seconds = a.seconds or row.seconds
    result = {"row": row.name, "title": row.title, "peer": peer.name, "seconds": seconds, "seed": a.seed}
    machine = run.Machine()
    with lib.Env(f"{row.name}: {row.title}: {peer.name}", time_limit_s=seconds + 150) as env:
        scene = Scene(env, peer, a)
        try:
            m, goals = row.run(scene, seconds)
            result.update(measured=m, goals=goals)
        except (lib.Failed, ValueError, OSError) as e:
            result["error"] = str(e)
        finally:
            scene.close()
        env.checks = 1
        if a.keep:
            os.makedirs(a.keep, exist_ok=True)
            os.system(f"cp -r {env.tmp}/. {a.keep}/")
    result["machine_busy"] = machine.busy()
    result["void"] = result["machine_busy"] > run.BUSY_LIMIT
    return result


def run_beside(row, names, a):
    """One row with several peers at once, each in a process of its own."""
    results = []
    with tempfile.TemporaryDirectory() as tmp:
        started = []
        for name in names:
            argv = [sys.executable, __file__, "--only", row, "--peer", name, "--seconds", str(a.seconds),
                    "--seed", str(a.seed), "--output", os.path.join(tmp, name + ".json")]
            argv += ["--keep", os.path.join(a.keep, name)] if a.keep else []
            started.append(subprocess.Popen(argv, stdout=subprocess.DEVNULL))
        for name, p in zip(names, started):
            p.wait()
            try:
                with open(os.path.join(tmp, name + ".json")) as f:
                    results += json.load(f)
            except (OSError, ValueError):
                pass  # it is run again, alone
    return results


def show(r):
    void = f"  VOID: the machine was {100 * r['machine_busy']:.0f} % busy" if r["void"] else \
        f"  (machine {100 * r['machine_busy']:.0f} % busy)"
    if "error" in r:
        print(f"{r['row']:>14} {r['peer']:>10}  did not run: {r['error']}")
        return
    print(f"{r['row']:>14} {r['peer']:>10}  {columns(r['measured'])}{void}")
    for g in r["goals"]:
        value = "-" if g["value"] is None else f"{g['value']:.1f} {g['unit']}"
        print(f"{'':>25}  {'met   ' if g['met'] else 'MISSED'} {g['goal']}: {value}", flush=True)


def peers():
    found = {"hevcast": run.HevcastPeer}
    for module, name in (("scene_gst", "gstreamer"), ("scene_chromium", "chromium")):
        try:
            found[name] = __import__(module).Peer
        except ImportError:
            pass
    return found


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--only")
    p.add_argument("--peer")
    p.add_argument("--seconds", type=float, default=0)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--output")
    p.add_argument("--keep", help="a directory for the logs")
    p.add_argument("--list", action="store_true")
    p.add_argument("--beside", action="store_true", help="hevcast and GStreamer at the same time")
    p.add_argument("--check", action="store_true")
    a = p.parse_args()
    if a.list:
        for r in Row.rows.values():
            print(f"{r.name:>14}  {r.title}")
        return 0
    netlab.need().close()
    known, results = peers(), []
    wanted = a.peer.split(",") if a.peer else list(known)
    rows = a.only.split(",") if a.only else list(Row.rows)
    for name in rows:
        here = [p for p in wanted if p in Row.rows[name].peers]
        light = [p for p in here if p != "chromium"] if a.beside else []
        new = run_beside(name, light, a) if len(light) > 1 else []
        for peer in here:
            if not any(r["peer"] == peer for r in new):
                new.append(run_row(Row.rows[name], known[peer](), a))
        for r in new:
            show(r)
        results += new
        if a.output:
            os.makedirs(os.path.dirname(os.path.abspath(a.output)), exist_ok=True)
            with open(a.output, "w") as f:
                json.dump(results, f, indent=1)
            with open(os.path.splitext(a.output)[0] + "-side.json", "w") as f:
                json.dump(scene_table.compare(results), f, indent=1)
    if len(wanted) > 1:
        print(scene_table.show(results))
    print(f"{sum('error' not in r for r in results)} of {len(results)} rows ran, {sum(r['void'] for r in results)} void")
    if any("error" in r for r in results):
        return 1
    missed = [g for r in results if r["peer"] == "hevcast" and not r["void"] for g in r["goals"] if not g["met"]]
    return 2 if a.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
