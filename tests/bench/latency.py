#!/usr/bin/python3
"""Latency from drawing on the screen to the decoded picture: hevcast against GStreamer.

    latency.py [--seconds S] [--rounds N] [--rows NAME,…] [--systems hevcast,gstreamer]
               [--bitrate KBPS] [--output FILE.json] [--check]

Each row draws a scene with cellclock on its own 1920x1080 Xvfb. Both systems capture that screen at the
row's rate and carry it over WebRTC on loopback, from one process to another, whose raw I420
pictures cellread takes from a pipe; it reads the clock out of each and knows the latency. Systems
take turns, so that a change in the machine's load touches both. The first --warm-up seconds after the first picture
do not count. CPU is user and system time of the sending and the receiving process.

hevcast:   hevcast share x11 --fps N | hevcast view --raw - --no-window
GStreamer: ximagesrc ! videoconvert ! x265enc ultrafast zerolatency ! webrtcbin
           webrtcbin latency=0 ! avdec_h265 ! fdsink    (tests/interop/gst_*.py have the details)

A latency is counted once for each clock value, when a picture shows it first: repeats cost the
system that sends them CPU, but do not improve or spoil its percentiles.

--check: exit status 1 unless hevcast is below 0.6 of GStreamer's p50 and p95 in each row, at no
more CPU. Exit status 77: GStreamer or hevcast is missing.
"""
import argparse
import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))
import lib  # noqa: E402

W, H = 1920, 1080
ROWS = {  # name: (frames a second, scene, drawing rate in Hz)
    "1080p30-typing": (30, "typing", 8),
    "1080p30-terminal": (30, "terminal", 30),
    "1080p60-typing": (60, "typing", 8),
    "1080p60-terminal": (60, "terminal", 60),
}
STAGES = ("capture", "convert", "encode", "queue", "network", "decode")
GOAL = 0.6


def start_gstreamer(env, fps, bitrate):
    sender = env.spawn("gst_whep_server", [
        lib.PYTHON, f"{lib.HERE}/gst_whep_server.py", "x11", "--fps", fps, "--bitrate", bitrate])
    lib.wait_until("the GStreamer sender listens",
                   lambda: sender.out().endswith(b"\n") or not sender.running(), 20)
    if sender.p.poll() == 77:
        lib.skip(sender.err())
    receiver = env.spawn("gst_view", [lib.PYTHON, f"{lib.HERE}/gst_view.py",
                                      sender.out().decode().strip(), "--raw", "-"],
                         stdout=subprocess.PIPE)
    return sender, receiver


def start_hevcast(env, fps, bitrate, encoder="auto"):
    sender = env.share("x11", "--fps", str(fps), "--no-cursor", "--bitrate", f"{bitrate}k",
                       "--encoder", encoder)
    receiver = env.view(sender.url, "--raw", "-", "--pix-fmt", "i420", stdout=subprocess.PIPE)
    return sender, receiver


SYSTEMS = {"gstreamer": start_gstreamer, "hevcast": start_hevcast,
           # --systems …: one encoder of hevcast's beside the one that auto takes
           "hevcast-x265": lambda *a: start_hevcast(*a, encoder="x265"),
           "hevcast-screen": lambda *a: start_hevcast(*a, encoder="screen")}


def read_log(path):
    """[(time in us, latency in us or None, unreadable)] of each picture."""
    out = []
    with open(path) as f:
        for line in f.read().split("\n")[:-1]:
            t, what = line.split()
            out.append((int(t), int(what) if what not in ("repeat", "bad") else None,
                        what == "bad"))
    return out


def measure(env, system, fps, a):
    """One turn of one system on the scene that runs: samples, CPU, stages."""
    sender, receiver = SYSTEMS[system](env, fps, a.bitrate)
    log = env.path("cellread.log")
    open(log, "w").close()
    reader = env.spawn("cellread", [lib.program("cellread", "tests", "bench"), f"{W}x{H}", "--log",
                                    log], stdin=receiver.p.stdout)
    receiver.p.stdout.close()  # cellread has it
    receiver.p.stdout = None
    try:
        lib.wait_until(f"{system}: the first picture with a clock",
                       lambda: any(x[1] is not None for x in read_log(log)), 20)
        time.sleep(a.warm_up)
        for p in (sender, receiver):
            if not p.running():
                raise lib.Failed(f"{system}: {p.name} ended: {p.err()[-800:]}")
        t0, cpu0 = time.monotonic(), (sender.cpu_s(), receiver.cpu_s())
        time.sleep(a.seconds)
        t1, cpu1 = time.monotonic(), (sender.cpu_s(), receiver.cpu_s())
        stages = {}
        if system.startswith("hevcast"):
            for p in (sender, receiver):
                stats = p.last_stats()
                for s in STAGES:
                    for q in ("p50", "p95"):
                        if f"{s}_{q}_us" in stats:
                            stages[f"{s}_{q}_us"] = stats[f"{s}_{q}_us"]
    finally:
        for p in (receiver, sender, reader):
            p.end()
    pictures = [x for x in read_log(log) if t0 * 1e6 <= x[0] < t1 * 1e6]
    return {"seconds": t1 - t0, "pictures": len(pictures),
            "unreadable": sum(x[2] for x in pictures),
            "latencies_us": [x[1] for x in pictures if x[1] is not None],
            "sender_cpu_s": cpu1[0] - cpu0[0], "receiver_cpu_s": cpu1[1] - cpu0[1],
            "stages": stages}


def summary(turns):
    """All turns of one system in one row as one result."""
    seconds = sum(t["seconds"] for t in turns)
    latencies = sorted(x for t in turns for x in t["latencies_us"])

    def percentile(share):
        return round(latencies[round(share * (len(latencies) - 1))] / 1e3, 1) if latencies else None
    stages = {k: round(sum(t["stages"][k] for t in turns if k in t["stages"]) /
                       sum(k in t["stages"] for t in turns))
              for k in sorted({k for t in turns for k in t["stages"]})}
    return {"p50_ms": percentile(0.5), "p95_ms": percentile(0.95), "count": len(latencies),
            "fps": round(sum(t["pictures"] for t in turns) / seconds, 1),
            "updates_per_s": round(len(latencies) / seconds, 1),
            "unreadable": sum(t["unreadable"] for t in turns),
            "sender_cpu": round(sum(t["sender_cpu_s"] for t in turns) / seconds, 2),
            "receiver_cpu": round(sum(t["receiver_cpu_s"] for t in turns) / seconds, 2),
            "turns_p50_ms": [round(sorted(t["latencies_us"])[len(t["latencies_us"]) // 2] / 1e3, 1)
                             if t["latencies_us"] else None for t in turns],
            "stages": stages}


def ratios(mine, other):
    def ratio(a, b):
        return round(a / b, 2) if a is not None and b else None
    return {"p50": ratio(mine["p50_ms"], other["p50_ms"]),
            "p95": ratio(mine["p95_ms"], other["p95_ms"]),
            "cpu": ratio(mine["sender_cpu"] + mine["receiver_cpu"],
                         other["sender_cpu"] + other["receiver_cpu"])}


def print_row(name, results):
    for system, r in results.items():
        if system == "ratio":
            continue
        print(f"{name:17} {system:14} {r['p50_ms']!s:>7} {r['p95_ms']!s:>7} {r['fps']:>6} "
              f"{r['updates_per_s']:>8} {r['sender_cpu']:>7} {r['receiver_cpu']:>7} "
              f"{r['unreadable']:>5}", end="")
        if system == "hevcast" and "ratio" in results:
            q = results["ratio"]
            print(f"   {q['p50']} {q['p95']} cpu {q['cpu']}", end="")
        print(flush=True)
        if r["stages"]:
            print(" " * 18 + "stages, ms p50/p95: " + "  ".join(
                f"{s} {r['stages'][f'{s}_p50_us'] / 1e3:.1f}/{r['stages'][f'{s}_p95_us'] / 1e3:.1f}"
                for s in STAGES if f"{s}_p50_us" in r["stages"] and f"{s}_p95_us" in r["stages"]),
                flush=True)


def run_row(name, a):
    fps, scene, rate = ROWS[name]
    turns = {s: [] for s in a.systems}
    with lib.Env(f"bench {name}", time_limit_s=a.rounds * len(a.systems) *
                 (a.seconds + a.warm_up + 45)) as env:
        env.xvfb(W, H)
        clock = env.spawn("cellclock", [lib.program("cellclock", "tests", "bench"), scene, rate])
        for n in range(a.rounds):
            order = a.systems if n % 2 == 0 else a.systems[::-1]
            for system in order:
                turns[system].append(measure(env, system, fps, a))
                if not clock.running():
                    raise lib.Failed("cellclock ended: " + clock.err())
        env.checks += 1
    results = {s: summary(t) for s, t in turns.items()}
    if {"hevcast", "gstreamer"} <= set(results):
        results["ratio"] = ratios(results["hevcast"], results["gstreamer"])
    return results


def missed_goals(rows):
    missed = []
    for name, r in rows.items():
        q = r.get("ratio")
        if not q:
            missed.append(f"{name}: not compared")
            continue
        missed += [f"{name}: {k} is {q[k]} of GStreamer's" for k in ("p50", "p95")
                   if q[k] is None or q[k] >= GOAL]
        if q["cpu"] is None or q["cpu"] > 1:
            missed.append(f"{name}: CPU is {q['cpu']} of GStreamer's")
    return missed


def main():
    ap = argparse.ArgumentParser(description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--seconds", type=float, default=10)
    ap.add_argument("--warm-up", type=float, default=3)
    ap.add_argument("--rounds", type=int, default=2)
    ap.add_argument("--rows", type=lambda s: s.split(","), default=list(ROWS))
    ap.add_argument("--systems", type=lambda s: s.split(","), default=["gstreamer", "hevcast"])
    ap.add_argument("--bitrate", type=int, default=10000, help="kbit/s, for both (%(default)s)")
    ap.add_argument("--output", default=os.path.join(lib.BUILD, "bench", "latency.json"))
    ap.add_argument("--check", action="store_true")
    a = ap.parse_args()
    for name in a.rows:
        if name not in ROWS:
            ap.error(f"no such row: {name}; there are {', '.join(ROWS)}")
    if set(a.systems) - set(SYSTEMS):
        ap.error(f"systems are {', '.join(SYSTEMS)}")
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))

    print(f"{'row':17} {'system':14} {'p50 ms':>7} {'p95 ms':>7} {'fps':>6} {'clocks/s':>8} "
          f"{'snd cpu':>7} {'rcv cpu':>7} {'bad':>5}   ratio p50 p95 cpu (goal: <{GOAL} <{GOAL} ≤1)")
    rows = {}
    for name in a.rows:
        rows[name] = run_row(name, a)
        print_row(name, rows[name])
    missed = missed_goals(rows) if len(a.systems) > 1 else []
    os.makedirs(os.path.dirname(os.path.abspath(a.output)), exist_ok=True)
    with open(a.output, "w") as f:
        json.dump({"seconds": a.seconds, "rounds": a.rounds, "bitrate_kbps": a.bitrate,
                   "cpus": os.cpu_count(), "load_1min": os.getloadavg()[0], "rows": rows,
                   "goal": GOAL, "missed": missed}, f, indent=1)
    print(f"written: {a.output}")
    for m in missed:
        print(f"goal missed: {m}")
    sys.exit(1 if a.check and missed else 0)


if __name__ == "__main__":
    main()
