#!/usr/bin/python3
"""A consumer that stops: memory stays bounded, and the others do not wait.

- The reader of `view --raw -` stops reading: view drops pictures, counts them, and its memory stays;
  the viewer beside it goes on. When reading begins again, the next pictures come whole.
- A viewer that is stopped (SIGSTOP) delays no other viewer; when it wakes, it has a picture soon.
"""
import fcntl
import signal
import subprocess
import time

import lib

W, H, FPS = 960, 540, 20
SIZE = lib.i420_bytes(W, H)


def rate(reader, seconds):
    n = reader.count
    time.sleep(seconds)
    return (reader.count - n) / seconds


def longest_gap(reader, since):
    times = [t for t in reader.times if t >= since]
    return max((b - a for a, b in zip(times, times[1:])), default=99)


def stalled_pipe(env, share, other):
    view = env.view(share.url, "--raw", "-", stdout=subprocess.PIPE)
    fcntl.fcntl(view.p.stdout.fileno(), fcntl.F_SETPIPE_SZ, 65536)  # nobody reads it
    view.wait_event("stats", 15, where=lambda e: e["frames_decoded"] > 0)
    time.sleep(3)
    memory = view.rss_kb()
    start = time.monotonic()
    there = rate(other, 8)
    grown = view.rss_kb() - memory
    env.check(grown < 30000, f"a stalled pipe: memory grew by {grown} kB in 8 s, "
                             f"{8 * FPS * SIZE // 1000} kB of pictures came")
    env.check(there > FPS / 3, f"the other viewer goes on: {there:.1f} pictures a second, "
                               f"the longest gap {longest_gap(other, start):.2f} s")
    stats = view.last_stats()
    raw = next((q for q in stats["queues"] if q["name"] == "raw"), None)
    env.check(raw and raw["drops"] > 0 and raw["length"] <= raw["capacity"],
              f"dropped pictures are counted: {raw}")
    reader = lib.RawReader(view.p.stdout, SIZE)
    reader.wait_count(30, 15)
    # Whole pictures in their places: luma looks like the other viewer's.
    mine, theirs = (float(r.picture()[:W * H].std()) for r in (reader, other))
    env.check(abs(mine - theirs) < 10, f"then pictures come again: deviation {mine:.1f}, {theirs:.1f}")
    view.end()


def stopped_viewer(env, share, other):
    view, reader = env.view_raw(share.url, SIZE)
    reader.wait_count(10, 15)
    memory = share.rss_kb()
    view.signal(signal.SIGSTOP)
    start = time.monotonic()
    there = rate(other, 8)
    gap = longest_gap(other, start)
    env.check(there > FPS / 3 and gap < 4, f"a stopped viewer: the other one has {there:.1f} "
                                           f"pictures a second, the longest gap {gap:.2f} s")
    grown = share.rss_kb() - memory
    env.check(grown < 40000, f"share's memory grew by {grown} kB")
    count = reader.count
    view.signal(signal.SIGCONT)
    reader.wait_count(count + 20, 20)
    env.check(True, "and when it wakes, it gets pictures again")
    view.end()


def main():
    with lib.Env("consumers that stop") as env:
        share = env.share(f"test:{W}x{H}@{FPS}")
        _, other = env.view_raw(share.url, SIZE)
        other.wait_count(FPS, 20)
        print(f"     undisturbed: {rate(other, 3):.1f} pictures a second")
        stalled_pipe(env, share, other)
        stopped_viewer(env, share, other)


if __name__ == "__main__":
    main()
