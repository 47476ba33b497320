#!/usr/bin/python3
"""A recording is playable whenever the program stops, after kill -9 too.

Matroska and MP4 of a moving picture, killed after four seconds: all but the last 1.5 seconds can be decoded.
Ended by SIGINT: all of it. The size is right, and FFmpeg decodes without an error.
"""
import signal
import subprocess
import time

import lib

W, H, FPS = 320, 240, 20


def decode(path):
    """(pictures decoded, what ffmpeg complained about)"""
    r = subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-i", path, "-map", "0:v",
                        "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"],
                       capture_output=True, timeout=30, check=False)
    # The raw muxer counts in frames, and complains when two pictures are closer: not of the file.
    complaints = [x for x in r.stderr.decode().splitlines() if "[rawvideo @" not in x]
    return len(r.stdout) // lib.i420_bytes(W, H), "\n".join(complaints)


def main():
    lib.need("ffmpeg", "ffprobe")
    with lib.Env("recordings survive") as env:
        share = env.share(f"test:{W}x{H}@{FPS}")
        views = {}
        for name in ("killed.mkv", "killed.mp4", "ended.mkv", "ended.mp4"):
            views[name] = env.view(share.url, "--record", env.path(name))
        for v in views.values():
            v.wait_event("first-picture", 15)
        time.sleep(4)
        decoded = {}
        for name, v in views.items():
            decoded[name] = v.last_stats()["frames_decoded"]
            v.signal(signal.SIGKILL if name.startswith("killed") else signal.SIGINT)
        for name, v in views.items():
            status = v.wait(5)
            if name.startswith("ended"):
                env.check(status == 0, f"{name}: view ends with status 0")
            n, complaints = decode(env.path(name))
            lost = 1.5 * FPS if name.startswith("killed") else 0
            env.check(decoded[name] > 2 * FPS and n >= decoded[name] - lost,
                      f"{name}: {n} pictures decode of at least {decoded[name]} received")
            # The file of a killed program may end inside its last cluster.
            env.check(name.startswith("killed") or not complaints,
                      f"{name}: FFmpeg has no complaint: {complaints[:200]}")
            size = subprocess.run(
                ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries",
                 "stream=codec_name,width,height", "-of", "csv=p=0", env.path(name)],
                capture_output=True, timeout=20, check=True).stdout.decode().strip()
            env.check(size.startswith(f"hevc,{W},{H}"), f"{name}: {size}")
        env.check(share.running(), "share goes on")


if __name__ == "__main__":
    main()
