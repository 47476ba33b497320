#!/usr/bin/python3
"""The command line: wrong usage, bad inputs, exit statuses, --frames, --duration, -q, --stats.

Wrong usage ends with status 2, a failure with 1; both say in a sentence or two what is wrong,
at once, and nothing on standard output.
"""
import json
import os
import re
import socket
import subprocess

import lib


def fails(env, status, pattern, *args, timeout_s=15):
    p = env.run([lib.program("hevcast"), *args], timeout_s)
    text, what = p.err().strip(), "hevcast " + " ".join(str(a) for a in args)
    good = status if isinstance(status, tuple) else (status,)
    env.check(p.p.returncode in good, f"{what}: status {p.p.returncode} of {good}")
    env.check(re.search(pattern, text, re.IGNORECASE), f"  it says: {text[:200]}")
    env.check(not p.out(), "  nothing on standard output")


def wrong_usage(env):
    for args in ([], ["fly"], ["--nonsense"], ["share", "--nonsense"], ["share", "a", "b"],
                 ["share", "test", "--fps", "0"], ["share", "test", "--fps", "many"],
                 ["share", "test", "--chroma", "411"], ["share", "test", "--bitrate", "-3"],
                 ["share", "test", "--bitrate", "fast"], ["share", "test", "--encoder", "magic"],
                 ["share", "test:320x240@10", "--region", "big"], ["share", "test:0x0@0"],
                 ["share", "test", "--listen", "127.0.0.1:99999"], ["share", "test", "--stats"],
                 ["view"], ["view", "http://127.0.0.1:9/", "http://127.0.0.1:9/"],
                 ["view", "not-a-url", "--no-window"],
                 ["view", "http://127.0.0.1:9/", "--frames", "0"],
                 ["view", "http://127.0.0.1:9/", "--playout", "5"],
                 ["view", "http://127.0.0.1:9/", "--playout", "200:100"],
                 ["view", "http://127.0.0.1:9/", "--raw", "-", "--stats", "-"],
                 ["view", "http://127.0.0.1:9/", "--raw", "-", "--y4m", "-"],
                 ["view", "http://127.0.0.1:9/", "--raw", "x", "--pix-fmt", "yuv9"]):
        fails(env, 2, ".", *args)


def good_ends(env):
    p = env.run([lib.program("hevcast"), "--version"])
    env.check(p.p.returncode == 0 and re.search(rb"\d+\.\d+", p.out()), f"--version: {p.out()}")
    for args in (["--help"], ["share", "--help"], ["view", "--help"], ["list", "--help"]):
        p = env.run([lib.program("hevcast"), *args])
        env.check(p.p.returncode == 0 and len(p.out()) > 100, f"{args} is on standard output")
    p = env.run([lib.program("hevcast"), "list", "--json"])
    env.check(p.p.returncode == 0 and isinstance(json.loads(p.out()), dict), "list --json")


def bad_sources(env):
    os.mkdir(env.path("folder"))
    with open(env.path("broken.mkv"), "wb") as f:
        f.write(b"This is not a film.\n" * 1000)
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=duration=1",
                    env.path("sound.wav")], check=True, timeout=20)
    listen = ["--listen", "127.0.0.1:0"]
    # The environment of these has no DISPLAY.
    fails(env, 1, "display", "share", "screen", *listen)
    fails(env, 1, "display", "share", "x11", *listen)
    fails(env, 1, "display|9999", "share", "x11::9999", *listen)
    fails(env, 1, "nowhere", "share", env.path("nowhere.mkv"), *listen)
    fails(env, (1, 2), "folder", "share", env.path("folder"), *listen)
    fails(env, 1, "broken", "share", env.path("broken.mkv"), *listen)
    fails(env, 1, "video", "share", env.path("sound.wav"), *listen)
    fails(env, 1, ".", "share", "-", *listen)  # standard input is empty
    env.xvfb(640, 480)
    fails(env, 1, "monitor", "share", "x11", "--monitor", "NOT-THERE", *listen)
    fails(env, 1, "monitor", "share", "x11", "--monitor", "99", *listen)
    fails(env, 1, "window", "share", "x11", "--window", "no such title", *listen)
    fails(env, (1, 2), "region", "share", "x11", "--region", "100x100+5000+5000", *listen)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        fails(env, 1, str(port), "share", "test", "--listen", f"127.0.0.1:{port}")


def bad_addresses(env):
    share = env.share("test:320x240@20", token="secret")
    env.check(share.url.endswith("/secret"), f"the address holds the token: {share.url}")
    base = share.url.rsplit("/", 1)[0]
    fails(env, 1, "404|token|address", "view", base + "/wrong", "--no-window")
    fails(env, 1, "404|token|address", "view", base + "/", "--no-window")
    with socket.socket() as s:  # bound, but it does not listen: refused
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
        fails(env, 1, "connect|refused|reach", "view", f"http://127.0.0.1:{port}/", "--no-window")
    fails(env, 1, "host|resolve|reach|name", "view", "http://nowhere.invalid/", "--no-window")
    fails(env, 1, ".", "view", "http://240.0.0.1:80/", "--no-window", timeout_s=30)
    fails(env, 1, "folder-x", "view", share.url, "--no-window", "--raw", "/folder-x/out.raw")
    fails(env, 1, "folder-x", "view", share.url, "--no-window", "--record", "/folder-x/out.mkv")
    return share


def frames_and_duration(env, share):
    p = env.run([lib.program("hevcast"), "view", share.url, "--no-window", "-q", "--frames", "7",
                 "--raw", "-"], 15)
    env.check(p.p.returncode == 0 and len(p.out()) == 7 * lib.i420_bytes(320, 240),
              f"--frames 7 writes {len(p.out()) / lib.i420_bytes(320, 240):.2f} pictures")
    env.check(not p.err(), f"-q is silent: {p.err()[:200]!r}")
    p = env.run([lib.program("hevcast"), "view", "--no-window", "--duration", "1", "--stats", "-",
                 share.url], 15)
    events = [json.loads(line) for line in p.out().splitlines()]
    env.check(p.p.returncode == 0 and "ended" in [e["event"] for e in events],
              "--duration 1 ends view; an operand may come last; --stats - is JSON lines")
    sizes = {"i420": 1.5, "nv12": 1.5, "i444": 3, "bgr24": 3, "rgb24": 3}
    for fmt, factor in sizes.items():
        p = env.run([lib.program("hevcast"), "view", share.url, "--no-window", "--frames", "2",
                     "--raw", "-", "--pix-fmt", fmt], 15)
        env.check(p.p.returncode == 0 and len(p.out()) == 2 * factor * 320 * 240,
                  f"--pix-fmt {fmt} writes pictures of {factor} bytes a pixel")
    short = env.share("test:320x240@20", "--duration", "1")
    env.check(short.wait(10) == 0, "share --duration 1 ends with status 0")


SHARE_FIELDS = ("t_us frames_captured frames_skipped frames_encoded keyframes bytes_sent "
                "packets_sent packets_retransmitted target_bps viewers viewer queues "
                "capture_p50_us encode_p50_us encode_p95_us").split()
VIEW_FIELDS = ("t_us frames_received frames_decoded frames_dropped packets_received packets_lost "
               "packets_recovered nacks plis freezes freeze_us bitrate_bps jitter_us "
               "latency_p50_us latency_p95_us queues decode_p50_us network_p50_us").split()


def statistics(env, share):
    view = env.view(share.url)
    view.wait_event("stats", 10, count=4)
    last = share.wait_event("stats", 5, where=lambda e: e["viewers"] == 1)
    for name, e, fields in (("share", last, SHARE_FIELDS),
                            ("view", view.last_stats(), VIEW_FIELDS)):
        missing = [f for f in fields if f not in e]
        env.check(not missing, f"{name} --stats has every field: missing {missing}")
        for q in e["queues"]:
            env.check(set(q) >= {"name", "length", "capacity", "drops"} and
                      q["length"] <= q["capacity"], f"  queue {q}")
    missing = {"id", "rtt_us", "loss_ratio", "estimate_bps", "queue_us", "held"} \
        - set(last["viewer"][0])
    env.check(not missing, f"a viewer's fields: missing {missing}")
    for p in (share, view):
        lines = p.events("stats")
        counters = [k for k in lines[0] if re.match(r"(frames|packets|bytes|t_us|nacks|plis)", k)]
        back = [k for k in counters for a, b in zip(lines, lines[1:]) if b[k] < a[k]]
        env.check(not back, f"{p.name}: counters never go back: {counters}")


def main():
    lib.need("ffmpeg")
    with lib.Env("the command line") as env:
        wrong_usage(env)
        good_ends(env)
        bad_sources(env)
        share = bad_addresses(env)
        frames_and_duration(env, share)
        statistics(env, share)


if __name__ == "__main__":
    main()
