#!/usr/bin/python3
"""test_page_loss.py chromium|firefox|firefox-h265 [vp8|audio]: the page behind a link that loses 2 % of the packets.

A recorded file is passed through whose pictures each carry the MD5 of their planes (H.265, decoded picture hash SEI); the
page checks every picture that it draws (?verify=1): none is broken, and motion goes on. Repair by retransmission first;
then a link so long and bad that whole frames never come, where the page waits for a key frame."""
import os
import subprocess
import sys
import time

from browser import Browser, lib

sys.path.insert(0, os.path.join(lib.HERE, "..", "lab"))
import netlab  # noqa: E402

# Whole coding blocks: the hash is of what is coded, not of what is cropped.
W, H, FPS = 640, 384, 30


def recording(env, seconds=3):
    """Motion at 2 Mb/s, a key frame a second, no B-frames, a hash in each picture."""
    lib.need("ffmpeg")
    path = env.path("hashed.mkv")
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"testsrc2=s={W}x{H}:r={FPS}:d={seconds}", "-vf",
                    "noise=alls=12:allf=t", "-pix_fmt", "yuv420p", "-c:v", "libx265", "-preset", "ultrafast", "-x265-params",
                    "hash=1:bframes=0:keyint=30:min-keyint=30:scenecut=0:bitrate=2000:vbv-maxrate=2000:vbv-bufsize=400:"
                    "log-level=none", path], check=True, timeout=120)
    return path


def watch(env, web, seconds, what, least_fps):
    """(totals, hashes) of so many seconds."""
    before, began = web.stats(), time.monotonic()
    longest, last, since = 0.0, before["totals"]["drawn"], began
    while time.monotonic() < began + seconds:
        time.sleep(0.1)
        drawn = web.stats()["totals"]["drawn"]
        if drawn != last:
            longest, last, since = max(longest, time.monotonic() - since), drawn, time.monotonic()
    longest = max(longest, time.monotonic() - since)
    after = web.stats()
    drawn = after["totals"]["drawn"] - before["totals"]["drawn"]
    checked = after["verified"]
    fps = drawn / (time.monotonic() - began)
    print(f"     {what}: {drawn} drawn, {fps:.1f} a second, statistics of no new picture for {longest:.1f} s at most; since the start "
          f"{checked}, {after['lost']} frames never came, {after['totals']}", flush=True)
    env.check(checked["bad"] == 0 and checked["without"] == 0 and checked["good"] > 0,
              f"{what}: {checked['good']} drawn pictures have the right hash, {checked['bad']} a wrong one, {checked['without']} none")
    env.check(fps > least_fps and longest < 5, f"{what}: motion goes on, {fps:.1f} pictures a second")
    env.check(after["totals"]["errors"] == 0, f"{what}: no decoding error")
    return after


def main():
    kind, carrier = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
    link = "rate=10M delay=20 queue=300 loss=2"
    with lib.Env(f"the page in {kind} at 2 % loss{carrier and ', carrier ' + carrier}", time_limit_s=170) as env, \
            netlab.need(a_to_b=link, b_to_a="delay=20 loss=2") as lab:
        path = recording(env)
        share = env.share(path, "--loop", listen=lab.a.ip + ":0", side=lab.a)
        web = Browser(env, kind, wrap=lab.b.wrap, origin=share.url.rstrip("/") if kind == "firefox-h265" else "")
        web.do("open", url=share.url + "?verify=1" + (carrier and "&carrier=" + carrier))
        web.wait_state("watching", timeout_s=30)
        lib.wait_until("statistics", lambda: web.stats().get("verified"), 10)
        print(f"     decoded by {web.stats()['decoder']}, a secure context: "
              f"{web.do('evaluate', code='return isSecureContext')}", flush=True)
        env.check(web.stats()["decoder"] == ("WebCodecs" if kind == "firefox-h265" else "WebAssembly"), "by the expected decoder")
        if carrier:
            env.check(web.stats()["carrier"] == carrier, f"by the {carrier} carrier")
        lab.reset()
        watch(env, web, 5, "2 % loss, 40 ms", 4)  # checking takes most of the time
        stats = lab.stats()["a->b"]
        env.check(stats["lost"] > 3, f"the network lost {stats['lost']} of {stats['packets_in']} packets")
        lab.set("both", "delay=150 loss=15")
        after = watch(env, web, 5, "15 % loss, 300 ms", 0.3)
        print(f"     {after['totals']['keyRequests']} key frames were asked for", flush=True)
        web.close()


if __name__ == "__main__":
    main()
