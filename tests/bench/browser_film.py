"""Films for browser_latency.py: 1920x1080 pictures of a scrolling terminal or of typing, each with its number in
cells (cells.h) at the top left, encoded once, with a key frame at the start alone: as HEVC by hevcast's encoder for screens
or by x265, as H.264 or VP8 by ffmpeg, with a search that finds the scroll."""
import os
import struct
import subprocess

import lib
import numpy as np

W, H, CELL, CELLS, LINE = 1920, 1080, 16, 48, 12
FPS, KBPS = 30, 10000  # of hevcast's
ENCODERS = {
    "hevc": ["-c:v", "libx265", "-preset", "superfast", "-tune", "zerolatency", "-x265-params",
             "crf=28:me=star:merange=57:bframes=0:keyint=-1:scenecut=0:repeat-headers=1:hrd=0:info=0:log-level=none", "-f", "hevc"],
    "h264": ["-c:v", "libx264", "-profile:v", "baseline", "-preset", "superfast", "-tune", "zerolatency", "-crf", "24", "-g", "9999",
             "-x264-params", "me=umh:merange=64:scenecut=0:sliced-threads=0:aud=1:repeat-headers=1", "-f", "h264"],
    "ivf": ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "6", "-b:v", "8M", "-g", "9999", "-auto-alt-ref", "0",
            "-lag-in-frames", "0", "-f", "ivf"],
}


def crc(number):
    c = 0xff
    for byte in struct.pack(">I", number):
        c ^= byte
        for _ in range(8):
            c = (c << 1 ^ 7) & 0xff if c & 0x80 else c << 1 & 0xff
    return c


def cells(number):
    bits = 0xa << 44 | number << 12 | crc(number) << 4 | 6
    row = np.array([255 if bits >> (CELLS - 1 - i) & 1 else 0 for i in range(CELLS)], np.uint8)
    return row.repeat(CELL)


class Font:
    def __init__(self):
        self.glyphs = {}
        for ch in lib._GLYPHS:
            g = np.zeros((8, 6, 3), np.uint8)
            big = np.zeros((8, 16, 3), np.uint8)
            lib.draw_text(big, 0, 0, ch, (255, 255, 255))
            g[:] = big[:, :6]
            self.glyphs[ch] = g[..., 0] > 0

    def line(self, picture, x, y, text, ink):
        for ch in text:
            picture[y:y + 8, x:x + 6][self.glyphs[ch]] = ink
            x += 6


def pictures(scene, count):
    rng, font = np.random.default_rng(7), Font()
    words = ["THE", "PICTURE", "IS", "ENCODED", "42", "SCREEN", "TEXT", "0123", "COLOUR", "OF", "LATENCY", "VIEWER", "789."]
    inks = [(208, 208, 208)] * 4 + [(255, 96, 255), (96, 255, 96)]
    dark = scene == "terminal"
    p = np.full((H, W, 3), 0 if dark else 255, np.uint8)

    def text(y):
        line = ""
        while len(line) < rng.integers(40, 280):
            line += words[rng.integers(len(words))] + " "
        font.line(p, 4, y, line[:310], inks[rng.integers(len(inks))] if dark else (16, 16, 16))
    rows = range(CELL + 4, H - LINE, LINE)
    for y in rows:
        text(y)
    x, typed = 4, 10  # where the next letter goes: the row's number
    for n in range(count):
        if dark and n > 0:
            shift = 4 * LINE
            p[CELL + 4:rows[-1] + LINE - shift] = p[CELL + 4 + shift:rows[-1] + LINE].copy()
            p[rows[-4]:rows[-1] + LINE] = 0
            for y in rows[-4:]:
                text(y)
        elif n > 0:
            if x + 6 > W:
                x, typed = 4, typed + 1
            p[rows[typed]:rows[typed] + 8, x:x + 6] = 255
            font.line(p, x, rows[typed], "ABCDEFGHIKLMNOPQRSTU"[rng.integers(20)], (16, 16, 16))
            x += 6
        p[:CELL, :CELL * CELLS] = cells(n)[None, :, None]
        yield p


def make(env, scene, kind, count):
    """The path of the film; each film is made once in a run. kind: "screen", or one of ENCODERS."""
    lib.need("ffmpeg")
    path = os.path.join(env.tmp, f"{scene}.{kind}")
    ours = kind == "screen"
    out = ["-f", "rawvideo", "-"] if ours else [*ENCODERS[kind], path]
    ff = subprocess.Popen(["ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{W}x{H}", "-r", "30", "-i", "-",
                           "-vf", "scale=out_color_matrix=bt709:out_range=tv", "-pix_fmt", "yuv420p", "-color_range", "tv", "-colorspace",
                           "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", *out], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE if ours else None)
    encoder = None
    if ours:
        with open(path, "wb") as f:
            encoder = subprocess.Popen([lib.program("film_encode", "tests", "bench"), f"{W}x{H}", str(FPS), str(KBPS)], stdin=ff.stdout,
                                       stdout=f)
        ff.stdout.close()
    for p in pictures(scene, count):
        ff.stdin.write(p.tobytes())
    ff.stdin.close()
    if ff.wait(300) or (encoder and encoder.wait(300)):
        raise lib.Failed(f"{path} cannot be made")
    return path


def split(path):
    """The pictures of an H.264 (with delimiters) or IVF file, as bytes."""
    with open(path, "rb") as f:
        data = f.read()
    if path.endswith(".ivf"):
        out, at = [], 32
        while at + 12 <= len(data):
            size = struct.unpack_from("<I", data, at)[0]
            out.append(data[at + 12:at + 12 + size])
            at += 12 + size
        return out
    parts = data.split(b"\0\0\0\1\x09")
    return [b"\0\0\0\1\x09" + p for p in parts[1:]]
