#!/usr/bin/python3
"""The level that is signalled is one with a large picture buffer where all viewers take it.

Our own viewer takes any level; webrtcbin's offer says none, which is 3.1 (RFC 7798, section 7.1). 1280x720 at up to
20 Mb/s needs level 4.1, whose buffer has twelve such pictures; level 5 has sixteen. A viewer that joins brings new
parameter sets.
"""
import json
import subprocess
import time

import lib

W, H = 1280, 720
LOWEST, ROOMY = 123, 150


def level(env, share, name):
    """What a viewer of ours is sent from its first picture on."""
    path = env.path(name + ".mkv")
    view = env.view(share.url, "--record", path, "--frames", "5")
    env.check(view.wait(20) == 0, f"{name}: a viewer records")
    r = subprocess.run(["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "stream=level", "-of", "json",
                        path], capture_output=True, timeout=20, check=True)
    return json.loads(r.stdout)["streams"][0]["level"]


def main():
    lib.need("ffprobe")
    with lib.Env("the viewers' level") as env:
        share = env.share(f"test:{W}x{H}@10", "--encoder", "screen")
        env.check(level(env, share, "alone") == ROOMY, "our viewer gets the level with a large buffer")
        stays = env.view(share.url, "--raw", env.path("stays.raw"))
        stays.wait_event("first-picture", 10)
        other = env.spawn("gst_view", [lib.PYTHON, f"{lib.HERE}/gst_view.py", share.url, "--duration", "12", "--json",
                                       env.path("gst.json")])
        lib.wait_until("webrtcbin sees pictures", lambda: share.last_stats().get("viewers", 0) == 2 or not other.running(),
                       10)
        if not other.running() and other.p.returncode == 77:
            lib.skip(other.err())
        time.sleep(2 * lib.SLOW)
        env.check(level(env, share, "together") == LOWEST, "beside one that takes level 3.1 the lowest that fits")
        decoded = stays.last_stats()["frames_decoded"]
        env.check(other.wait(30) == 0, "webrtcbin saw pictures")
        share.wait_event("viewer-left", 10, count=3)
        time.sleep(2 * lib.SLOW)
        env.check(stays.last_stats()["frames_decoded"] > decoded, "who was there before goes on")
        env.check(level(env, share, "again") == ROOMY, "when it has gone, the next who joins brings the large one back")


if __name__ == "__main__":
    main()
