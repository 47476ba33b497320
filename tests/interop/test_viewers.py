#!/usr/bin/python3
"""Viewers that come late, come together, and go in all the ways there are.

Late join on a still screen; two viewers of one encode; --max-viewers; a viewer that ends by SIGINT
is gone within 5 s, one that is killed within 30 s; a sharer that ends tells its viewers within 5 s,
and one that is killed is noticed within 30 s (by a viewer that may not reconnect).
"""
import signal
import time

import lib

W, H = 640, 400


def test_join(env, picture):
    share = env.share("x11", "--no-cursor", "--max-viewers", "2")
    first, reader = env.view_raw(share.url, lib.i420_bytes(W, H))
    quality, _ = reader.wait_good(lambda d: lib.psnr_y(d, picture), 40, 20)
    env.check(quality > 40, f"the first viewer: PSNR-Y {quality:.1f} dB is above 40 dB")
    reader.wait_quiet(3, 20)
    encoded = share.last_stats()["frames_encoded"]
    late, late_reader = env.view_raw(share.url, lib.i420_bytes(W, H))
    seconds = lib.first_picture(late)
    env.check(seconds < 3 * lib.SLOW, f"a late viewer of a still screen sees it after {seconds:.2f} s")
    quality, _ = late_reader.wait_good(lambda d: lib.psnr_y(d, picture), 40, 20)
    env.check(quality > 40, f"and sharp: PSNR-Y {quality:.1f} dB is above 40 dB")
    quality = lib.psnr_y(reader.picture(), picture)
    env.check(quality > 40, f"the first one still has it: {quality:.1f} dB")
    time.sleep(1.2)
    stats = share.last_stats()
    env.check(stats["viewers"] == 2 and len(stats["viewer"]) == 2, "share counts two viewers")
    more = stats["frames_encoded"] - encoded
    env.check(more < 60, f"the second viewer cost {more} pictures, and no more come")
    third = env.view(share.url)
    env.check(third.wait(10) == 1, "a third viewer is refused by --max-viewers 2")
    env.check("503" in third.err() or "viewers" in third.err().lower(),
              f"and told why: {third.err().strip()[-200:]}")
    return share, first, reader, late, late_reader


def test_both_move(env, show, reader, late_reader):
    other = lib.desktop(W, H, seed=3)
    show.show(other)
    for name, r in (("first", reader), ("second", late_reader)):
        quality, _ = r.wait_good(lambda d: lib.psnr_y(d, other), 40, 20)
        env.check(quality > 40, f"a change reaches the {name} viewer: {quality:.1f} dB")


def test_leave(env, share, first, late):
    late.signal(signal.SIGINT)
    env.check(late.wait(5) == 0, "a viewer ends with status 0 after Ctrl-C")
    left = share.wait_event("viewer-left", 5)
    env.check(True, f"and share knows within 5 s: {left.get('reason')}")
    env.check(first.running(), "the other viewer goes on")

    killed_at = time.monotonic()
    first.signal(signal.SIGKILL)
    left = share.wait_event("viewer-left", 35, count=2)
    env.check(True, f"a killed viewer is gone after {time.monotonic() - killed_at:.0f} s: "
                    f"{left.get('reason')}")
    lib.wait_until("no viewer in the statistics", lambda: share.last_stats()["viewers"] == 0, 5)
    env.check(True, "and the statistics count none")


def test_sharer_ends(env):
    share = env.share("test:320x240@10")
    view = env.view(share.url)
    view.wait_event("first-picture", 10)
    share.signal(signal.SIGTERM)
    env.check(share.wait(5) == 0, "share ends with status 0 on SIGTERM")
    status = view.wait(5)
    ended = view.events("ended")
    env.check(len(ended) == 1 and ended[0]["reason"],
              f"its viewer is told within 5 s: status {status}, {ended}")


def start_killed_share(env):
    """The viewer may not reconnect: test_reconnect.py is about those that do."""
    share = env.share("test:320x240@10")
    view = env.view(share.url, "--reconnect", "0")
    view.wait_event("first-picture", 10)
    share.signal(signal.SIGKILL)
    return view, time.monotonic()


def main():
    with lib.Env("viewers come and go") as env:
        env.xvfb(W, H)
        picture = lib.desktop(W, H)
        show = lib.Show(env, W, H)
        show.show(picture)
        share, first, reader, late, late_reader = test_join(env, picture)
        test_both_move(env, show, reader, late_reader)
        orphan, killed_at = start_killed_share(env)  # waits at the same time as the next one
        test_leave(env, share, first, late)
        status = orphan.wait(max(1, 35 - (time.monotonic() - killed_at)))
        env.check(status == 1, "a viewer that may not reconnect ends with status 1 within 35 s after its "
                             "sharer was killed")
        ended = orphan.events("ended")
        env.check(len(ended) == 1 and ended[0]["reason"] and orphan.err().strip(),
                  f"and says why: {orphan.err().strip()[-200:]}")
        test_sharer_ends(env)


if __name__ == "__main__":
    main()
