#!/usr/bin/python3
"""Files and standard input as the source.

- HEVC without B-frames is passed through bit for bit: the pictures that view decodes have the MD5s of FFmpeg's own
  decode of the file, in order; the recording has them too. From Matroska, MP4 (hvcC) and Annex B.
- A viewer that joins in the middle of one long group of pictures sees a picture at once.
- Standard input: an encoder's pipe, and a pipe whose reads end in the middle of everything.
- What cannot be passed through is decoded and encoded, and the log says why.
"""
import os
import random
import re
import subprocess
import threading
import time

import lib

W, H, FPS = 320, 240, 20
SIZE = lib.i420_bytes(W, H)
SOURCE = f"testsrc2=size={W}x{H}:rate={FPS}"


def ffmpeg(*args, **kw):
    return subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *args], check=True,
                          timeout=60, **kw)


def encode(path, seconds, *more, x265="bframes=0:keyint=40", fmt=()):
    ffmpeg("-f", "lavfi", "-i", f"{SOURCE}:duration={seconds}", "-pix_fmt", "yuv420p",
           "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", f"log-level=error:{x265}",
           *more, *fmt, path)
    return decoded_md5s(path)


def decoded_md5s(path):
    out = ffmpeg("-i", path, "-map", "0:v", "-fps_mode", "passthrough", "-f", "rawvideo",
                 "-pix_fmt", "yuv420p", "-", stdout=subprocess.PIPE).stdout
    return lib.md5s(out, SIZE)


def positions(env, got, reference, what):
    """Every picture is one of the file's; returns their numbers."""
    where = {m: i for i, m in enumerate(reference)}
    unknown = sum(m not in where for m in got)
    env.check(got and not unknown, f"{what}: {len(got)} pictures, {unknown} not of the file")
    return [where[m] for m in got]


def check_order(env, numbers, total, what):
    """One after another, through --loop's end too; the raw writer may drop, but not reorder."""
    steps = [(b - a) % total for a, b in zip(numbers, numbers[1:])]
    back = [p for p, s in zip(zip(numbers, numbers[1:]), steps) if not 0 < s < 10]
    env.check(all(0 < s < 10 for s in steps) and steps.count(1) >= 0.8 * len(steps),
              f"{what}: in order, back at {back}, steps {sorted(set(steps))}, {steps.count(1)} of {len(steps)} are 1")


def test_pass_through(env, name, *fmt):
    path = env.path(name)
    reference = encode(path, 4, fmt=fmt)
    share = env.share(path, "--loop", "--fps", str(FPS))
    raw, rec = env.path(name + ".raw"), env.path(name + ".rec.mkv")
    view = env.view(share.url, "--raw", raw, "--record", rec, "--frames", "60")
    env.check(view.wait(25) == 0, f"{name}: view got 60 pictures")
    with open(raw, "rb") as f:
        got = lib.md5s(f.read(), SIZE)
    check_order(env, positions(env, got, reference, name), len(reference), name)
    numbers = positions(env, decoded_md5s(rec), reference, f"{name}, recorded")
    check_order(env, numbers, len(reference), f"{name}, recorded")
    share.end()


def test_late_in_group(env):
    """One IRAP in twenty seconds."""
    path = env.path("long.mkv")
    reference = encode(path, 20, x265="bframes=0:keyint=-1")
    share = env.share(path)
    first = env.view(share.url)  # a file may wait for its first viewer
    first.wait_event("first-picture", 10)
    time.sleep(4)
    raw = env.path("late.raw")
    late = env.view(share.url, "--raw", raw, "--duration", "3")
    seconds = lib.first_picture(late)
    env.check(seconds < 3 * lib.SLOW, f"a late viewer sees a picture after {seconds:.2f} s")
    env.check(late.wait(15) == 0, "and the next ones")
    with open(raw, "rb") as f:
        numbers = positions(env, lib.md5s(f.read(), SIZE), reference, "late")
    # What was kept of the group comes at once; after that, it is as late as anybody.
    env.check(numbers == sorted(numbers) and numbers[-1] > 5 * FPS,
              f"they are the file's, in order, up to the present: {numbers[0]} to {numbers[-1]}; "
              f"back at {[(a, b) for a, b in zip(numbers, numbers[1:]) if b <= a]}")
    share.end()


def test_end_of_file(env):
    path = env.path("end.mkv")
    encode(path, 2)
    share = env.share(path)
    view = env.view(share.url)
    view.wait_event("first-picture", 10)
    env.check(share.wait(15) == 0, "share ends with status 0 at the end of the file")
    status = view.wait(10)
    env.check(view.events("ended")[0]["reason"], f"and its viewer is told: status {status}")


def test_encoder_pipe(env):
    """ffmpeg … -f hevc - | hevcast share -; lossless, so the right pictures are known exactly."""
    reference = lib.md5s(ffmpeg("-f", "lavfi", "-i", f"{SOURCE}:duration=20", "-pix_fmt",
                                "yuv420p", "-f", "rawvideo", "-", stdout=subprocess.PIPE).stdout,
                         SIZE)
    encoder = env.spawn("ffmpeg", [
        "ffmpeg", "-v", "error", "-nostdin", "-re", "-f", "lavfi", "-i", f"{SOURCE}:duration=20",
        "-pix_fmt", "yuv420p", "-c:v", "libx265", "-preset", "ultrafast", "-tune", "zerolatency",
        "-x265-params", "log-level=error:lossless=1:keyint=20", "-f", "hevc", "-"],
        stdout=subprocess.PIPE)
    share = env.share("-", "--fps", str(FPS), stdin=encoder.p.stdout)
    encoder.p.stdout.close()
    encoder.p.stdout = None
    raw = env.path("pipe.raw")
    view = env.view(share.url, "--raw", raw, "--frames", "40")
    env.check(view.wait(20) == 0, "an encoder's pipe: view got 40 pictures")
    with open(raw, "rb") as f:
        numbers = positions(env, lib.md5s(f.read(), SIZE), reference, "an encoder's pipe")
    check_order(env, numbers, len(reference), "an encoder's pipe")
    share.end()
    encoder.end()


def test_ragged_pipe(env):
    """Whole access units always: the boundaries of reads mean nothing."""
    path = env.path("ragged.hevc")
    reference = encode(path, 8, fmt=("-f", "hevc"))
    with open(path, "rb") as f:
        data = f.read()
    r, w = os.pipe()

    def feed():
        rng, pos = random.Random(5), 0
        pace = len(data) / 8  # bytes a second
        try:
            while pos < len(data):
                n = rng.choice((1, 2, 3, 7, 100, 1000, 3000))
                os.write(w, data[pos:pos + n])
                pos += n
                time.sleep(n / pace)
        except OSError:
            pass
        os.close(w)

    threading.Thread(target=feed, daemon=True).start()  # share listens once it knows the input
    share = env.share("-", "--fps", str(FPS), stdin=r)
    os.close(r)
    raw = env.path("ragged.raw")
    view = env.view(share.url, "--raw", raw, "--frames", "50")
    env.check(view.wait(20) == 0, "a ragged pipe: view got 50 pictures")
    with open(raw, "rb") as f:
        numbers = positions(env, lib.md5s(f.read(), SIZE), reference, "a ragged pipe")
    check_order(env, numbers, len(reference), "a ragged pipe")
    env.check(share.wait(20) == 0, "share ends with status 0 at the end of its input")


def test_encoded_again(env):
    """H.264 with B-frames: decoded and encoded; the pictures look like the source's."""
    path = env.path("film.mp4")
    ffmpeg("-f", "lavfi", "-i", f"{SOURCE}:duration=4", "-pix_fmt", "yuv420p", "-colorspace",
           "bt709", "-color_range", "tv", "-c:v", "libx264", "-bf", "2", "-crf", "10", path)
    out = ffmpeg("-i", path, "-f", "rawvideo", "-pix_fmt", "yuv420p", "-",
                 stdout=subprocess.PIPE).stdout
    reference = [lib.np.frombuffer(out, lib.np.uint8, W * H, i * SIZE)
                 for i in range(len(out) // SIZE)]
    share = env.share(path, "--loop", "-v")
    raw = env.path("film.raw")
    view = env.view(share.url, "--raw", raw, "--frames", "30")
    env.check(view.wait(20) == 0, "H.264: view got 30 pictures")
    data = lib.np.fromfile(raw, lib.np.uint8)
    best = [max(lib.psnr(data[i * SIZE:i * SIZE + W * H], r) for r in reference)
            for i in range(10, 30, 5)]
    env.check(min(best) > 30, "H.264: PSNR-Y " + " ".join(f"{b:.1f}" for b in best) + " dB")
    why = re.search(r".*(B.frames|h\.?264).*", share.err(), re.IGNORECASE)
    env.check(why, "the log says why it is encoded again: " + (why.group(0) if why else ""))
    share.end()


def main():
    lib.need("ffmpeg")
    with lib.Env("files and standard input") as env:
        test_pass_through(env, "a.mkv")
        test_pass_through(env, "b.mp4")
        test_pass_through(env, "c.hevc", "-f", "hevc")
        test_late_in_group(env)
        test_end_of_file(env)
        test_encoder_pipe(env)
        test_ragged_pipe(env)
        test_encoded_again(env)


if __name__ == "__main__":
    main()
