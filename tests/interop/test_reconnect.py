#!/usr/bin/python3
"""A connection that breaks is made again by itself, and what must not be waited for is not.

In network namespaces (share -- router -- viewer):
- the viewer's address changes, then its whole network (another interface): pictures again within 3 s;
- the router forwards nothing for 10 s: the same session goes on afterwards;
- the sharer's address changes while its HTTP address stays: pictures again within 3 s;
- the sharer is killed and started again at the same address: the viewer finds it, with everything it
  writes going on (raw pictures, the recording);
- a share that ends says so: no viewer waits for it; --reconnect bounds the wait for one that does not.
"""
import os
import signal
import subprocess
import time

import lib
import nets

W, H, FPS = 320, 240, 20
SIZE = lib.i420_bytes(W, H)
HTTP = "10.9.9.9"  # of the share, whatever address it has


class World:
    """share 10.1.0.2 -- router -- viewer 10.2.0.2, and a second cable for 10.3.0.2"""

    def __init__(self, env):
        self.share, self.router, self.viewer = (nets.Net(env, n) for n in
                                                ("share", "router", "viewer"))
        nets.link(self.share, "s0", "10.1.0.2/24", self.router, "r0", "10.1.0.1/24")
        nets.link(self.viewer, "v0", "10.2.0.2/24", self.router, "r1", "10.2.0.1/24")
        nets.link(self.viewer, "v1", "10.3.0.2/24", self.router, "r2", "10.3.0.1/24")
        self.viewer.ip("link set v1 down")
        self.share.ip(f"addr add {HTTP}/32 dev lo")
        self.share.ip("route add default via 10.1.0.1")
        self.viewer.ip("route add default via 10.2.0.1")
        self.router.ip(f"route add {HTTP} via 10.1.0.2")
        self.router.forward(True)


def frozen_s(reader, since):
    """The longest time without a picture since then, up to the last one."""
    times = [since] + [t for t in reader.times if t >= since]
    return max(b - a for a, b in zip(times, times[1:]))


def wait_pictures(reader, since, n=5, timeout_s=15):
    lib.wait_until(f"{n} pictures after the change",
                   lambda: sum(t > since for t in reader.times) >= n, timeout_s)


def goes_on(env, view, reader, what, change, limit_s):
    """change() breaks the path; pictures come over another one within limit_s."""
    connected = len(view.events("connected"))
    since = time.monotonic()
    change()
    view.wait_event("connected", 20, count=connected + 1)
    wait_pictures(reader, time.monotonic())
    frozen = frozen_s(reader, since)
    env.check(frozen < limit_s * lib.SLOW, f"{what}: no picture for {frozen:.2f} s, then over "
                                           f"{view.events('connected')[-1]['path'].split(',')[0]}")


def test_viewer_moves(env, world, share, view, reader):
    def address():
        world.viewer.ip("addr del 10.2.0.2/24 dev v0")
        world.viewer.ip("addr add 10.2.0.77/24 dev v0")
        world.viewer.ip("route add default via 10.2.0.1")

    def interface():
        world.viewer.ip("link set v0 down")
        world.viewer.ip("link set v1 up")
        world.viewer.ip("route add default via 10.3.0.1")

    goes_on(env, view, reader, "the viewer's address changed", address, 3)
    goes_on(env, view, reader, "the viewer moved to another interface", interface, 3)
    env.check("[10.3.0.2]" in view.events("connected")[-1]["path"], "and its own address is the new one")


def test_sharer_moves(env, world, share, view, reader):
    def address():
        world.share.ip("addr del 10.1.0.2/24 dev s0")
        world.share.ip("addr add 10.1.0.55/24 dev s0")
        world.share.ip("route add default via 10.1.0.1")
        world.router.ip(f"route replace {HTTP} via 10.1.0.55")

    goes_on(env, view, reader, "the sharer's address changed", address, 3)


def test_cut(env, world, share, view, reader):
    def cut():
        world.router.forward(False)
        time.sleep(10)
        world.router.forward(True)

    goes_on(env, view, reader, "nothing was forwarded for 10 s", cut, 10 + 6)
    lost = view.events("connection-lost")
    env.check(lost and lost[-1]["reason"] and view.events("reconnecting"),
              f"the statistics say so: {lost[-1]}, {view.events('reconnecting')[-1]}")


def same_session(env, share):
    time.sleep(1.1 * lib.SLOW)
    env.check(len(share.events("viewer-joined")) == 1 and not share.events("viewer-left")
              and share.last_stats()["viewers"] == 1, "all of that was one and the same session")


def restart_share(env, world, share, view, reader):
    port = share.url.rsplit(":", 1)[1].split("/")[0]
    share.signal(signal.SIGKILL)
    share.wait(5)
    view.wait_event("reconnecting", 10, count=len(view.events("reconnecting")) + 2)
    lib.wait_until("statistics without a connection", lambda: not view.last_stats()["connected"], 5)
    before = view.last_stats()
    env.check(True, "a sharer was killed: the viewer's statistics say that it is lost")
    since, connected = time.monotonic(), len(view.events("connected"))
    again = env.share(f"test:{W}x{H}@{FPS}", listen=f"0.0.0.0:{port}", token="secret",
                      side=world.share)
    view.wait_event("connected", 20, count=connected + 1)
    wait_pictures(reader, time.monotonic())
    found = next(t for t in reader.times if t > since) - since
    env.check(found < 8 * lib.SLOW, f"it is found again {found:.2f} s after it was started again")
    n = len(view.events("stats"))
    after = view.wait_event("stats", 5, count=n + 1)
    back = [k for k in before if isinstance(before[k], (int, float)) and not isinstance(before[k], bool)
            and k in ("frames_decoded", "packets_received", "bytes_received", "nacks", "reconnects")
            and after[k] < before[k]]
    env.check(not back and after["connected"] and after["reconnects"] >= 1,
              f"counters go on: {back}, {after['reconnects']} reconnects")
    return again


def test_recording(env, path, reader, view):
    out = subprocess.run(["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries",
                          "packet=pts_time", "-of", "csv=p=0", path], capture_output=True, text=True,
                         timeout=30)
    times = [float(x.strip(",\n")) for x in out.stdout.split()]
    env.check(not out.stderr and times == sorted(times) and len(times) > 100,
              f"the recording is one file with {len(times)} pictures in order, {times[-1]:.1f} s long"
              f"{out.stderr[-200:]}")
    decoded = subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", "-i", path, "-fps_mode",
                              "passthrough", "-enc_time_base", "-1", "-f", "rawvideo",
                              "/dev/null"],
                             capture_output=True, text=True, timeout=60)
    env.check(decoded.returncode == 0 and not decoded.stderr,
              f"and all of it decodes: {decoded.stderr[-200:]}")


def test_ends(env, share, view, other):
    share.signal(signal.SIGTERM)
    share.wait(5)
    env.check(view.wait(5) == 0, "a share that ends says so: the viewer ends with status 0")
    env.check(view.events("ended")[0]["reason"] == "the share has ended", "and for that reason")
    env.check(other.wait(5) == 0, "so does the other one")


def kill_share(env):
    share = env.share("test:320x240@10")
    view = env.view(share.url, "--reconnect", "2")
    stopped = env.view(share.url)
    for v in (view, stopped):
        v.wait_event("first-picture", 10)
    share.signal(signal.SIGKILL)
    return view, stopped


def test_gives_up(env, view, stopped):
    env.check(view.wait(20) == 1, "--reconnect 2 gives up with status 1 after the sharer was killed")
    env.check("could not be made again" in view.err(), f"and says why: {view.err().strip()[-150:]}")
    stopped.wait_event("reconnecting", 10)
    stopped.signal(signal.SIGINT)
    env.check(stopped.wait(5) == 0, "Ctrl-C ends one that is reconnecting, with status 0")


def main():
    with lib.Env("connections that break") as env:
        lib.need("ffprobe", "ffmpeg")
        world = World(env)
        share = env.share(f"test:{W}x{H}@{FPS}", listen="0.0.0.0:0", token="secret",
                          side=world.share)
        port = share.url.rsplit(":", 1)[1].split("/")[0]
        url, record = f"http://{HTTP}:{port}/secret", env.path("all.mkv")
        view, reader = env.view_raw(url, SIZE, "--record", record, side=world.viewer)
        reader.wait_count(3 * FPS, 20)
        test_viewer_moves(env, world, share, view, reader)
        orphans = kill_share(env)  # they wait at the same time as the others
        test_sharer_moves(env, world, share, view, reader)
        test_gives_up(env, *orphans)
        test_cut(env, world, share, view, reader)
        same_session(env, share)
        other = env.view(url, side=world.viewer)
        other.wait_event("first-picture", 10)
        share = restart_share(env, world, share, view, reader)
        other.wait_event("connected", 20, count=2)
        test_ends(env, share, view, other)
        test_recording(env, record, reader, view)


if __name__ == "__main__":
    main()
