#!/usr/bin/python3
"""The page in real browsers: from handing a coded picture to the sender until its cells are read in what the page shows.

    browser_latency.py [--seconds S] [--rows NAME,…] [--browsers NAME,…] [--one-core] [--query QUERY] [--output FILE.json] [--check]

A film of 1920x1080 pictures is made once (browser_film.py), each with its number in cells, and played by
programs that encode nothing: hevcast (playback.c, on libhevcast) to the page behind its link, as hevcast's encoder for screens made it,
which `share` has for screens (the terminal at 30 fps also as x265 did, with deblocking: "of x265"), and GStreamer's
webrtcbin (browser_peer.py) to a plain page with a <video>, with H.264 in Chromium and VP8 in Firefox, whose WebRTC here has
no H.264. Both say when they handed each picture on. A script in the page reads the cells out of the canvas or the
video at every animation frame, which costs both the same and rounds both to the display's 60 Hz; a number counts when it is seen
first. `skipped`: pictures that were sent and never seen; `not drawn`: those that the page itself left out for being late.
CPU is that of the browser with all its processes, in cores. --one-core: the browser gets one core, the sender another.
--query: for the page, "carrier=audio" say.

Then the time from opening the page to its first picture: cold (a new browser), and warm (loaded again).

--check: exit status 1 unless p50 is at most the <video>'s, and the terminal at 30 fps loses no picture.
"""
import argparse
import json
import os
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "browser"))
from browser import Browser, lib  # noqa: E402
import browser_film  # noqa: E402

ROWS = {  # name: (scene, pictures a second)
    "1080p30-terminal": ("terminal", 30),
    "1080p60-terminal": ("terminal", 60),
    "1080p-typing": ("typing", 8),
}
PEER = {"chromium": "h264", "firefox": "ivf", "firefox-h265": "ivf"}
PEER_NAME = {"h264": "H.264 <video>", "ivf": "VP8 <video>"}
COUNT = 420  # at 30 fps the film lasts for a measurement: no key frame in it

READER = """
window.seen = [];
const size = 16, cells = 48, c = new OffscreenCanvas(size * cells, size).getContext('2d', {willReadFrequently: true});
let last = -1;
const crc = (n) => { let r = 255; for (let k = 24; k >= 0; k -= 8) { r ^= n >>> k & 255;
  for (let i = 0; i < 8; i++) r = (r & 128 ? r << 1 ^ 7 : r << 1) & 255; } return r; };
const read = () => {
  requestAnimationFrame(read);
  const video = document.getElementById('video'), canvas = document.getElementById('canvas');
  const from = canvas && !canvas.hidden ? canvas : video;
  if (!(from.videoWidth ?? from.width)) return;
  c.drawImage(from, 0, 0, size * cells, size, 0, 0, size * cells, size);
  const t = performance.timeOrigin + performance.now();
  const d = c.getImageData(0, size / 2, size * cells, 1).data;
  const bit = (i) => (d[4 * (i * size + size / 2) + 1] > 127 ? 1 : 0);
  let n = 0, sum = 0;
  for (let i = 4; i < 36; i++) n = n * 2 + bit(i);
  for (let i = 36; i < 44; i++) sum = sum * 2 + bit(i);
  if (!bit(0) || bit(1) || !bit(2) || bit(3) || sum !== crc(n) || n === last) return;
  last = n;
  seen.push([n, t]);
};
requestAnimationFrame(read);
"""


def tree_cpu_s(pid):
    """Of a process and all that descend from it: the browser's, too."""
    children, cpu = {}, {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat") as f:
                fields = f.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(name))
        cpu[int(name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    todo, total = [pid], 0.0
    while todo:
        p = todo.pop()
        total += cpu.get(p, 0)
        todo += children.get(p, [])
    return total


def on_core(core):
    return lambda argv: argv if core is None else ["taskset", "-c", str(core), *map(str, argv)]


def start_sender(env, system, film, fps, core):
    argv = [lib.program("playback", "tests", "bench"), film, fps] if system == "hevcast" else \
        [lib.PYTHON, os.path.join(HERE, "browser_peer.py"), film, fps]
    sender = env.spawn(system, on_core(core)(argv))
    lib.wait_until(f"{system} listens", lambda: b"\n" in sender.out() or not sender.running(), 20)
    if sender.p.poll() == 77:
        lib.skip(sender.err())
    if not sender.running():
        raise lib.Failed(f"{system}: {sender.err()[-600:]}")
    return sender, sender.out().split(b"\n")[0].decode()


def sent_of(sender):
    return [(int(n), int(t) / 1e3) for n, t in (line.split() for line in sender.out().decode().split("\n")[1:-1])]


def match(sent, seen, from_ms, to_ms):
    """(latencies in ms, pictures that were due and never seen). A number returns with each round of the film."""
    times = {}
    for n, t in sent:
        times.setdefault(n, []).append(t)
    latencies, found = [], set()
    for n, t in seen:
        before = [x for x in times.get(n, []) if x <= t + 1]
        if before:
            found.add((n, before[-1]))
            if from_ms <= before[-1] < to_ms:
                latencies.append(t - before[-1])
    due = [(n, t) for n, t in sent if from_ms <= t < to_ms]
    return latencies, sum(1 for x in due if x not in found), len(due)


def measure(env, kind, system, film, fps, a):
    sender, url = start_sender(env, system, film, fps, 1 if a.one_core else None)
    web = Browser(env, kind, wrap=on_core(0 if a.one_core else None))
    try:
        web.do("open", url=url + (f"?{a.query}" if a.query and system == "hevcast" else ""), width=1920, height=1080)
        web.do("state", wanted=["watching"], timeout=20000) if system == "hevcast" else \
            lib.wait_until("the video plays", lambda: web.do("evaluate", code="return document.body.dataset.state") == "watching", 20)
        web.do("evaluate", code=READER)
        time.sleep(a.warm_up)
        before = web.stats()
        start, cpu0 = time.time(), tree_cpu_s(web.proc.pid)
        time.sleep(a.seconds)
        end, cpu1 = time.time(), tree_cpu_s(web.proc.pid)
        time.sleep(1)
        seen = web.do("evaluate", code="return window.seen")
        after = web.stats()
    finally:
        web.close()
        sender.end()
    latencies, skipped, due = match(sent_of(sender), seen, start * 1e3, end * 1e3)
    if not latencies:
        raise lib.Failed(f"{kind}, {system}: no picture was read, {len(seen)} seen")
    latencies.sort()
    out = {"p50_ms": round(latencies[len(latencies) // 2], 1), "p95_ms": round(latencies[int(len(latencies) * 0.95)], 1),
           "min_ms": round(latencies[0], 1), "count": len(latencies), "sent": due, "skipped": skipped,
           "fps": round(len(latencies) / (end - start), 1), "cpu": round((cpu1 - cpu0) / (end - start), 2)}
    if after:
        out["path"] = f"{after['decoder']}, {after['drawing']}, {after['carrier']}"
        out["not_drawn"] = sum(after["totals"][k] - before["totals"][k] for k in ("decoded",)) - \
            (after["totals"]["drawn"] - before["totals"]["drawn"])
        out["stages"] = {k: round(after[k], 2) for k in ("transferMs", "decodeMs", "drawMs", "latencyMs") if after.get(k) is not None}
    return out


def first_pictures(env, kind, film, a):
    """{cold, warm} in ms: medians of three."""
    results = {"cold": [], "warm": []}
    sender, url = start_sender(env, "hevcast", film, 30, None)
    mark = "return performance.getEntriesByName('first-picture')[0].startTime"
    for _ in range(a.loads):
        web = Browser(env, kind)
        for how in ("cold", "warm"):
            web.do("open", url=url + (f"?{a.query}" if a.query else ""), width=1920, height=1080)
            web.wait_state("watching")
            results[how].append(web.do("evaluate", code=mark))
        web.close()
    sender.end()
    return {k: round(sorted(v)[len(v) // 2]) for k, v in results.items()}


def print_row(row, kind, name, r):
    print(f"{row:17} {kind:13} {name:22} {r['p50_ms']:>7} {r['p95_ms']:>7} {r['fps']:>6} {r['skipped']:>7} {r.get('not_drawn', '–')!s:>9} "
          f"{r['cpu']:>6}" + (f"   {r['stages']}" if "stages" in r else ""), flush=True)


def missed_goals(rows, loads):
    missed = []
    for row, kinds in rows.items():
        for kind, r in kinds.items():
            mine, other = r["hevcast"], r.get("video")
            if other and mine["p50_ms"] > other["p50_ms"]:
                missed.append(f"{row}, {kind}: p50 {mine['p50_ms']} ms, the <video> {other['p50_ms']} ms")
            if row == "1080p30-terminal" and mine["skipped"]:
                missed.append(f"{row}, {kind}: {mine['skipped']} of {mine['sent']} pictures were never seen")
    for kind, t in loads.items():
        missed += [f"{kind}: first picture {how} after {t[how]} ms" for how, most in (("cold", 1500), ("warm", 700)) if t[how] >= most]
    return missed


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--seconds", type=float, default=10)
    ap.add_argument("--warm-up", type=float, default=3)
    ap.add_argument("--loads", type=int, default=3)
    ap.add_argument("--rows", type=lambda s: s.split(","), default=list(ROWS))
    ap.add_argument("--browsers", type=lambda s: s.split(","), default=list(PEER))
    ap.add_argument("--one-core", action="store_true")
    ap.add_argument("--output", default=os.path.join(lib.BUILD, "bench", "browser.json"))
    ap.add_argument("--query", default="")
    ap.add_argument("--check", action="store_true")
    a = ap.parse_args()
    if set(a.rows) - set(ROWS) or set(a.browsers) - set(PEER):
        ap.error(f"rows are {', '.join(ROWS)}; browsers are {', '.join(PEER)}")
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
    rows, loads, films = {}, {}, {}
    with lib.Env("the page's latency", time_limit_s=60 + len(a.rows) * len(a.browsers) * 2 * (a.seconds + a.warm_up + 60)) as env:
        def film(scene, kind):
            if (scene, kind) not in films:
                films[scene, kind] = browser_film.make(env, scene, kind, COUNT)
            return films[scene, kind]
        print(f"{'row':17} {'browser':13} {'what':22} {'p50 ms':>7} {'p95 ms':>7} {'fps':>6} {'skipped':>7} {'not drawn':>9} {'cpu':>6}")
        for row in a.rows:
            scene, fps = ROWS[row]
            rows[row] = {}
            for kind in a.browsers:
                r = rows[row][kind] = {"hevcast": measure(env, kind, "hevcast", film(scene, "screen"), fps, a)}
                print_row(row, kind, r["hevcast"].get("path", "hevcast"), r["hevcast"])
                if row == "1080p30-terminal" and kind != "firefox-h265":
                    r["hevcast-x265"] = measure(env, kind, "hevcast", film(scene, "hevc"), fps, a)
                    print_row(row, kind, "the same, of x265", r["hevcast-x265"])
                if kind != "firefox-h265":  # the same <video> as firefox's
                    r["video"] = measure(env, kind, "gstreamer", film(scene, PEER[kind]), fps, a)
                    print_row(row, kind, PEER_NAME[PEER[kind]], r["video"])
                elif "firefox" in rows[row]:
                    r["video"] = rows[row]["firefox"]["video"]
        for kind in a.browsers if a.loads else []:
            loads[kind] = first_pictures(env, kind, film("terminal", "screen"), a)
            print(f"{kind}: first picture after {loads[kind]['cold']} ms cold, {loads[kind]['warm']} ms warm", flush=True)
        env.checks += 1
    missed = missed_goals(rows, loads)
    os.makedirs(os.path.dirname(os.path.abspath(a.output)), exist_ok=True)
    with open(a.output, "w") as f:
        json.dump({"seconds": a.seconds, "one_core": a.one_core, "cpus": os.cpu_count(), "load_1min": os.getloadavg()[0], "rows": rows,
                   "first_picture_ms": loads, "missed": missed}, f, indent=1)
    print(f"written: {a.output}")
    for m in missed:
        print(f"goal missed: {m}")
    sys.exit(1 if a.check and missed else 0)


if __name__ == "__main__":
    main()
