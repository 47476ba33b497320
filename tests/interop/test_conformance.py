#!/usr/bin/python3
"""What the screen encoder makes is read without a warning by FFmpeg and by GStreamer's h265parse.

A moving picture, 4:2:0 and 4:4:4, at an odd size too: recorded as it comes, then every picture decoded.
"""
import os
import signal
import subprocess
import time

import lib


def complaints_of_ffmpeg(path):
    r = subprocess.run(["ffprobe", "-v", "warning", "-select_streams", "v", "-count_frames",
                        "-show_entries", "stream=nb_read_frames", "-of", "csv=p=0", path],
                       capture_output=True, timeout=60, check=False)
    return int(r.stdout.decode().strip().strip(",") or 0), r.stderr.decode()


def complaints_of_h265parse(path):
    """Level 2 is "warning"; the parser reads every NAL unit, parameter set and slice header."""
    environ = {**os.environ, "GST_DEBUG": "1,h265parse:2,codecparsers_h265:2,h265parser:2",
               "GST_DEBUG_NO_COLOR": "1"}
    r = subprocess.run(["gst-launch-1.0", "-q", "filesrc", f"location={path}", "!",
                        "matroskademux", "!", "h265parse", "!",
                        "video/x-h265,stream-format=byte-stream,alignment=au", "!", "fakesink"],
                       capture_output=True, timeout=60, check=False, env=environ)
    lines = r.stderr.decode().splitlines()
    return r.returncode, "\n".join(x for x in lines if "WARN" in x or "ERROR" in x)


def main():
    lib.need("ffprobe", "gst-launch-1.0")
    with lib.Env("conformance") as env:
        for size, chroma in (("640x360", "420"), ("421x243", "420"), ("421x243", "444")):
            share = env.share(f"test:{size}@20", "--encoder", "screen", "--chroma", chroma)
            path = env.path(f"{size}-{chroma}.mkv")
            view = env.view(share.url, "--record", path)
            view.wait_event("first-picture", 15)
            time.sleep(2)
            env.view(share.url, "--frames", "3").wait(15)  # another key frame
            view.signal(signal.SIGINT)
            env.check(view.wait(5) == 0, f"{size} {chroma}: view ends with status 0")
            share.signal(signal.SIGINT)
            n, text = complaints_of_ffmpeg(path)
            env.check(n > 20 and not text, f"{size} {chroma}: FFmpeg decodes {n} pictures: {text[:300]}")
            status, text = complaints_of_h265parse(path)
            env.check(status == 0 and not text, f"{size} {chroma}: h265parse: {text[:300]}")


if __name__ == "__main__":
    main()
