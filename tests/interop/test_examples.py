#!/usr/bin/python3
"""The programs of examples/ against the program: they are documentation that must run.

count_frames counts a share's access units; write_ppm writes one of its pictures, whose colours are the
test card's; send_file sends an .hevc file of x265's, and `hevcast view` decodes it bit by bit as FFmpeg does.
"""
import hashlib
import os
import re
import subprocess

import lib

W, H, FPS = 320, 240, 20
EXAMPLES = os.environ["EXAMPLES"]


def read_ppm(path):
    with open(path, "rb") as f:
        data = f.read()
    m = re.match(rb"P6\n(\d+) (\d+)\n255\n", data)
    return int(m[1]), int(m[2]), data[m.end():]


def main():
    lib.need("ffmpeg")
    with lib.Env("the examples") as env:
        share = env.share(f"test:{W}x{H}@{FPS}")
        out = subprocess.run([f"{EXAMPLES}/example-count_frames", share.url, "3"],
                             capture_output=True, timeout=60, check=False)
        m = re.match(r"(\d+) access units, (\d+) key frames, (\d+) bytes", out.stdout.decode())
        env.check(out.returncode == 0 and m and int(m[1]) > FPS and int(m[2]) >= 1,
                  f"count_frames: {out.stdout.decode().strip()} {out.stderr.decode().strip()}")

        ppm = env.path("shot.ppm")
        out = subprocess.run([f"{EXAMPLES}/example-write_ppm", share.url, ppm], capture_output=True,
                             timeout=60, check=False)
        env.check(out.returncode == 0, f"write_ppm ends with 0: {out.stderr.decode().strip()}")
        w, h, rgb = read_ppm(ppm)
        env.check((w, h, len(rgb)) == (W, H, W * H * 3), f"the PPM is {w}x{h}")
        # The second of the card's bars is yellow, 75 %: red and green alike, hardly any blue.
        x, y = W * 3 // 16, 10
        r, g, b = rgb[(y * W + x) * 3:(y * W + x) * 3 + 3]
        env.check(abs(r - 191) < 10 and abs(g - 191) < 10 and b < 10,
                  f"its second bar is yellow: {r} {g} {b}")

        clip = env.path("clip.hevc")
        subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i",
                        f"testsrc=size={W}x{H}:rate=20:duration=2", "-c:v", "libx265", "-tune",
                        "zerolatency", "-pix_fmt", "yuv420p", "-x265-params", "log-level=none", "-f", "hevc", clip],
                       check=True, timeout=60)
        want = subprocess.run(["ffmpeg", "-v", "error", "-i", clip, "-f", "rawvideo", "-pix_fmt",
                               "yuv420p", "-"], capture_output=True, check=True, timeout=60).stdout
        size = lib.i420_bytes(W, H)
        known = {hashlib.md5(want[i:i + size]).digest() for i in range(0, len(want), size)}
        sender = env.spawn("send_file", [f"{EXAMPLES}/example-send_file", clip, "20", "40"],
                           stdout=subprocess.PIPE)
        url = sender.p.stdout.readline().decode().strip()
        raw = env.path("sent.raw")
        view = env.view(url, "--raw", raw, "--frames", "30")
        env.check(view.wait(40) == 0, "view of send_file ends with --frames")
        with open(raw, "rb") as f:
            got = f.read()
        pictures = [hashlib.md5(got[i:i + size]).digest() for i in range(0, len(got), size)]
        env.check(len(pictures) == 30 and all(p in known for p in pictures),
                  f"{len(pictures)} pictures of send_file are FFmpeg's, bit by bit")
        sender.end()


if __name__ == "__main__":
    main()
