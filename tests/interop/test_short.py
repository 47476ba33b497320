#!/usr/bin/python3
"""One short run of both ends: the test that also runs in the sanitizers' builds.

share of the moving test picture, view to a y4m file; then both end cleanly and say so.
"""
import signal

import lib

W, H, N = 320, 240, 30


def main():
    with lib.Env("share and view, short") as env:
        share = env.share(f"test:{W}x{H}@20")
        out = env.path("out.y4m")
        view = env.view(share.url, "--y4m", out, "--frames", str(N))
        env.check(view.wait(40) == 0, "view ends with status 0 after --frames")
        w, h, pictures, header = lib.read_y4m(out)
        env.check((w, h) == (W, H), f"the picture has its size: {header}")
        env.check(len(pictures) == N, f"{len(pictures)} pictures of {N} are in the file")
        spread = float(pictures[-1][:W * H].std())
        env.check(spread > 10, f"the picture has content: standard deviation {spread:.0f}")
        env.check((pictures[0] != pictures[-1]).any(), "it moves")
        for name in ("viewer-joined", "connected", "viewer-left"):
            share.wait_event(name, 5)
        env.check(True, "share reports viewer-joined, connected, viewer-left")
        ended = view.events("ended")
        env.check(len(ended) == 1 and ended[0]["reason"], f"view says that it ended: {ended}")
        clock = {k: v for k, v in view.last_stats().items() if k.startswith(("clock", "rtt", "lat"))}
        env.check(clock["clock_offset_known"] and clock["rtt_us"] > 0 and
                  abs(clock["clock_offset_us"]) <= clock["clock_error_us"] + 20000,
                  f"both clocks are compared by RTCP, and are one: {clock}")

        share.signal(signal.SIGINT)
        env.check(share.wait(10) == 0, "share ends with status 0 after Ctrl-C")
        ended = share.events("ended")
        env.check(len(ended) == 1 and ended[0]["reason"], f"share says that it ended: {ended}")


if __name__ == "__main__":
    main()
