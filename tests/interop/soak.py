#!/usr/bin/python3
"""Long runs: memory stays flat and small, descriptors and threads do not pile up.

    soak.py [--seconds 600]

share of a 1080p screen on which a terminal scrolls (cellclock), one viewer for the whole time, and others
that come and go (one ends itself, the next is killed). Limits: share below 300 MB, view below 200 MB of resident
memory at any time, and no growth from the first third to the last of more than 5 % + 8 MB. File descriptors and threads
at the end are those after the start-up, but for a killed viewer's or two.
It also reports the time from the start of a viewer to its first picture (goal: below 500 ms on
loopback).
"""
import argparse
import os
import signal
import statistics
import time

import lib

W, H = 1920, 1080
LIMIT_MB = {"share": 300, "view": 200}
# The encoder remembers screens, in the decoder's picture buffer (16 pictures at the level that it signals here): as
# many different ones are shown before anything is measured, so that it is full.
PAGES = 20


def counts(p):
    return len(os.listdir(f"/proc/{p.pid}/fd")), len(os.listdir(f"/proc/{p.pid}/task"))


def visit(env, share, n, first_pictures):
    """A viewer that comes and goes; every second one is killed."""
    v = env.view(share.url)
    first_pictures.append(lib.first_picture(v, 15))
    if n % 2:
        v.signal(signal.SIGKILL)
    else:
        v.signal(signal.SIGINT)
    v.wait(10)
    env.procs.remove(v)  # its logs are not kept


def flat(samples):
    third = max(1, len(samples) // 3)
    return statistics.median(samples[:third]), statistics.median(samples[-third:])


def main():
    ap = argparse.ArgumentParser(description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--seconds", type=float, default=600)
    a = ap.parse_args()
    with lib.Env(f"memory over {a.seconds:.0f} s", time_limit_s=a.seconds + 120) as env:
        env.xvfb(W, H)
        share = env.share("x11", "--fps", "30")
        view = env.view(share.url)
        first_pictures = [lib.first_picture(view)]
        screen = lib.Show(env, W, H)
        for page in range(PAGES):
            screen.show(lib.desktop(W, H, seed=page))
            time.sleep(0.3)
        env.spawn("cellclock", [lib.program("cellclock", "tests", "bench"), "terminal", "10"])
        visit(env, share, 0, first_pictures)
        time.sleep(min(10, a.seconds / 6))  # pools fill
        start, at_start = time.monotonic(), counts(share)
        samples = {"share": [], "view": []}
        visits = 1
        every = max(8, a.seconds / 30)
        while time.monotonic() - start < a.seconds:
            for p in (share, view):
                if not p.running():
                    raise lib.Failed(f"{p.name} ended by itself")
                samples[p.name].append(p.rss_kb() / 1024)
            # The last 40 s without visits: killed viewers are dropped after 30 s at the latest.
            if start + visits * every < time.monotonic() < start + a.seconds - 40:
                visit(env, share, visits, first_pictures)
                visits += 1
            time.sleep(0.5)
        for name, mb in samples.items():
            early, late = flat(mb)
            env.check(max(mb) < LIMIT_MB[name],
                      f"{name}: at most {max(mb):.0f} MB (limit {LIMIT_MB[name]})")
            env.check(late < early * 1.05 + 8,
                      f"{name}: flat: {early:.1f} MB in the first third, {late:.1f} in the last")
        lib.wait_until("only one viewer is left", lambda: share.last_stats()["viewers"] == 1, 40)
        at_end = counts(share)
        env.check(at_end[0] <= at_start[0] + 4 and at_end[1] <= at_start[1] + 1,
                  f"descriptors and threads of share: {at_start} after the start, {at_end} at the "
                  f"end, {visits} visits")
        stats = view.last_stats()
        env.check(stats["frames_decoded"] > a.seconds, f"{stats['frames_decoded']} pictures")
        print(f"     first picture: {', '.join(f'{s * 1e3:.0f}' for s in first_pictures)} ms "
              f"(median {statistics.median(first_pictures) * 1e3:.0f}; goal 500)")


if __name__ == "__main__":
    main()
