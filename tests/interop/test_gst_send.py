#!/usr/bin/python3
"""GStreamer's webrtcbin behind a WHEP endpoint sends, hevcast views.

A known still picture: every decoded picture is right, from the first. Then the same sender with bad manners:
packets are truncated, lost, swapped and filled with garbage before they are encrypted, so that
they pass SRTP. view must not crash, nor show or write anything corrupt, and must go on.
"""
import json

import lib

W, H = 640, 360


def serve(env, name, *args):
    events = env.path(name + ".events")
    server = env.spawn(name, [lib.PYTHON, f"{lib.HERE}/gst_whep_server.py",
                              env.path("picture.bgrx"), "--size", f"{W}x{H}", "--bitrate", "6000",
                              "--events", events, *args])
    lib.wait_until("the WHEP endpoint listens",
                   lambda: server.out().endswith(b"\n") or not server.running(), 15)
    if server.p.poll() == 77:
        lib.skip(server.err())

    def list_events(kind):
        with open(events) as f:
            return [e for e in map(json.loads, f.read().split("\n")[:-1]) if e["event"] == kind]
    return server, server.out().decode().strip(), list_events


def qualities(path, picture):
    size = lib.i420_bytes(W, H)
    data = lib.np.fromfile(path, lib.np.uint8)
    return [lib.psnr_y(data[i * size:(i + 1) * size], picture) for i in range(len(data) // size)]


def main():
    with lib.Env("GStreamer sends to our view") as env:
        picture = lib.desktop(W, H)
        with open(env.path("picture.bgrx"), "wb") as f:
            f.write(lib.bgrx(picture))

        server, url, events = serve(env, "gst-good")
        raw, y4m = env.path("good.raw"), env.path("good.y4m")
        view = env.view(url, "--raw", raw, "--y4m", y4m, "--frames", "60")
        env.check(view.wait(30) == 0, "view got 60 pictures")
        q = qualities(raw, picture)
        env.check(len(q) == 60 and q[-1] > 38, f"PSNR-Y {q[-1]:.1f} dB is above 38 dB")
        env.check(min(q) > 25, f"the worst of all pictures has {min(q):.1f} dB")
        w, h, pictures, header = lib.read_y4m(y4m)
        env.check((w, h, len(pictures)) == (W, H, 60), f"the y4m file has them too: {header}")
        bars = lib.worst_bar(lib.i420_to_rgb(pictures[-1], W, H))
        env.check(bars < 6, f"colour bars are off by {bars:.1f} of 255")
        lib.wait_until("the session is deleted", lambda: events("closed"), 5)
        env.check(events("closed")[0]["reason"] == "deleted", "view DELETEs its session")
        server.end()

        server, url, events = serve(
            env, "gst-mangled", "--mangle", "truncate:2,drop:2,reorder:4,garbage:1")
        raw = env.path("mangled.raw")
        view = env.view(url, "--raw", raw, "--duration", "15")
        env.check(view.wait(40) == 0, "mangled: view goes on to its end")
        q = qualities(raw, picture)
        stats = view.last_stats()
        requests = len(events("keyframe-request"))
        print(f"     {len(q)} pictures, {stats['packets_lost']} packets lost, {stats['plis']} PLIs, "
              f"{requests} requests seen by the sender")
        env.check(stats["plis"] > 0 and requests > 1, "mangled: it asked for key frames")
        env.check(len(q) > 60, f"mangled: {len(q)} pictures were shown")
        env.check(min(q) > 25, f"mangled: nothing corrupt is shown: the worst has {min(q):.1f} dB")


if __name__ == "__main__":
    main()
