#!/usr/bin/python3
"""Records what screens do, from Xvfb, losslessly, once: the clips of bench_screen.

    record_scenes.py [--size 1920x1080] [--pictures 40] [--scenes NAME,…] [--again] DIR

Writes DIR/SIZE/SCENE.nut (FFV1, BGR0, 30 a second), and DIR/SIZE/version: clips of another version of
the scenes, or of fewer pictures, are recorded anew. Xvfb keeps its screen in a file (-fbdir),
which is read once what was asked for stands there, so that a clip has no picture twice and none
half drawn, whatever the machine does meanwhile. Exit status 77: a program is missing.

    still      a desktop: two terminals full of text
    typing     a letter each third picture in one of them, ten a second
    terminal   a window of 106 columns and 43 rows (at 1080p): four lines a picture, 120 a second
    terminal-full  the same over the whole screen
    page       an antialiased page of text and pictures, 20 pixels a picture
    drag       a terminal of 64 columns and 20 rows dragged over another
    switch     two windows over the whole screen, one raised each tenth picture
    film       a film-like clip on the whole screen
"""
import argparse
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time

FPS = 30
VERSION = 4  # of what the scenes show
WORDS = ("the of and a to in is you that it he was for on are as with his they at be this have from "
         "or one had by word but not what all were we when your can said there use an each which she "
         "encoder picture socket buffer thread packet static return struct const void int").split()


def text_line(rng, width):
    line = ""
    while len(line) < width:
        line += rng.choice(WORDS) + rng.choice((" ", " ", " ", ", ", "_", "->", "(", "); "))
    return line[:rng.randrange(width // 4, width)]


def terminal_line(rng, width):
    """A line of a build's log or a listing, some of it coloured."""
    if rng.random() < .5:
        return "\x1b[32m[%d/%d]\x1b[0m Compiling C object %s.c.o" % (
            rng.randrange(400), 400, text_line(rng, width // 2))
    return "-rw-r--r-- 1 user user %8d Nov %2d %02d:%02d \x1b[34m%s\x1b[0m" % (
        rng.randrange(10 ** 7), rng.randrange(1, 30), rng.randrange(24), rng.randrange(60),
        text_line(rng, width // 3))


class Screen:
    def __init__(self, width, height, work):
        self.width, self.height, self.work = width, height, work
        self.children, self.files = [], []
        r, w = os.pipe()
        self.server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(w), "-screen", "0", "%dx%dx24" % (width, height), "-fbdir", work,
             "-nolisten", "tcp", "-noreset", "-nocursor"], pass_fds=[w], stderr=subprocess.DEVNULL)
        os.close(w)
        with os.fdopen(r) as f:
            self.env = dict(os.environ, DISPLAY=":" + f.readline().strip())
        with open(os.path.join(work, "Xvfb_screen0"), "rb") as f:
            head = struct.unpack(">25I", f.read(100))
        # The header of XWD: its size, …, bytes a line, …, colours of 12 bytes each.
        self.offset, self.stride = head[0] + head[19] * 12, head[12]

    def close(self):
        for p in [*self.children, self.server]:
            p.terminate()
            p.wait(10)

    def grab(self):
        with open(os.path.join(self.work, "Xvfb_screen0"), "rb") as f:
            f.seek(self.offset)
            data = f.read(self.stride * self.height)
        if self.stride == self.width * 4:
            return data
        return b"".join(data[y * self.stride:y * self.stride + self.width * 4]
                        for y in range(self.height))

    def settled(self, before=None, limit=3.0):
        """The screen once it has changed from `before` and stood still for a while."""
        end, last, since = time.monotonic() + limit, self.grab(), time.monotonic()
        while time.monotonic() < end:
            time.sleep(.02)
            now = self.grab()
            if now != last:
                last, since = now, time.monotonic()
            elif time.monotonic() - since > .06 and (before is None or now != before):
                break
        return last

    def terminal(self, x, y, w, h, name, colours=("#e0e0e0", "#101418"), face="DejaVu Sans Mono"):
        """An xterm that shows what is written to the file that is returned."""
        fifo = os.path.join(self.work, name)
        os.mkfifo(fifo)
        self.children.append(subprocess.Popen(
            ["xterm", "-T", name, "-fa", face, "-fs", "10", "-b", "2", "-bw", "0", "+sb",
             "-xrm", "*geometry: 80x24", "-fg", colours[0], "-bg", colours[1], "-geometry",
             "%dx%d+%d+%d" % (w // 8, h // 17, x, y), "-e", "cat", fifo],
            env=self.env, stderr=subprocess.DEVNULL))
        self.files.append(open(fifo, "w", buffering=1))  # stays open: at its end xterm ends
        return self.files[-1]

    def xdotool(self, *args):
        return subprocess.run(["xdotool", *map(str, args)], env=self.env, check=True,
                              capture_output=True, text=True, timeout=10).stdout.strip()

    def window(self, name):
        return self.xdotool("search", "--sync", "--name", "^" + name + "$").split()[-1]


class Clip:
    def __init__(self, path, width, height):
        self.path = path
        self.p = subprocess.Popen(
            ["ffmpeg", "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "bgr0", "-s",
             "%dx%d" % (width, height), "-r", str(FPS), "-i", "-", "-c:v", "ffv1", "-level", "3",
             "-g", "1", "-f", "nut", path + ".part"], stdin=subprocess.PIPE)

    def add(self, picture):
        self.p.stdin.write(picture)

    def close(self):
        self.p.stdin.close()
        if self.p.wait():
            raise RuntimeError("ffmpeg could not write " + self.path)
        os.rename(self.path + ".part", self.path)


def desktop(screen, rng):
    """Two terminals side by side, full of text."""
    w, h = screen.width, screen.height
    files = [screen.terminal(w // 30, h // 20, w * 9 // 20, h * 8 // 10, "left",
                             ("#202020", "#fcfcfc"), "DejaVu Sans Mono"),
             screen.terminal(w * 8 // 15, h // 8, w * 2 // 5, h * 7 // 10, "right")]
    for i, f in enumerate(files):
        for _ in range(h // 17):
            f.write((text_line if i == 0 else terminal_line)(rng, w // 24) + "\r\n")
    screen.settled()
    return files


def still(screen, rng, n):
    desktop(screen, rng)
    picture = screen.settled()
    for _ in range(n):
        yield picture


def typing(screen, rng, n):
    out = desktop(screen, rng)[0]
    last = screen.settled()
    for i in range(n):
        if i % 3 == 1:
            out.write(rng.choice("abcdefghijklmnopqrstuvwxyz "))
            out.flush()
            last = screen.settled(last, .3)
        yield last


def scrolling(screen, rng, n, out, columns, rows):
    """120 lines a second in a terminal."""
    for _ in range(rows * 3 // 2):
        out.write(terminal_line(rng, columns) + "\r\n")
    last = screen.settled(limit=6)
    for _ in range(n):
        out.write("".join(terminal_line(rng, columns) + "\r\n" for _ in range(120 // FPS)))
        last = screen.settled(last)
        yield last


def terminal(screen, rng, n):
    columns, rows = screen.width // 18, screen.height // 25
    out = screen.terminal(screen.width // 30, screen.height // 20, columns * 8, rows * 17, "terminal")
    yield from scrolling(screen, rng, n, out, columns, rows)


def terminal_full(screen, rng, n):
    out = screen.terminal(0, 0, screen.width + 16, screen.height + 20, "terminal")
    yield from scrolling(screen, rng, n, out, screen.width // 10, screen.height // 17)


def make_page(screen, rng, height):
    """One tall page by ImageMagick: paragraphs, headings and a picture in between."""
    w, parts = screen.width, []
    text_w = w * 3 // 4
    for i in range(height // 900 + 2):
        name = os.path.join(screen.work, "part%d.miff" % i)
        # Several captions: ImageMagick's usual limits refuse a long one. Together some 17 lines.
        texts = []
        for _ in range(text_w // 260):
            texts += ["caption:" + " ".join(rng.choice(WORDS) for _ in range(105))]
        subprocess.run(["convert", "-size", "%dx" % text_w, "-background", "white", "-fill", "#202020",
                        "-font", "DejaVu-Sans", "-pointsize", "15", *texts, "-append",
                        "-gravity", "north", "-extent", "%dx500" % w,
                        "(", "-size", "%dx400" % (w // 2), "plasma:seagreen-goldenrod", "-seed",
                        str(i), "-blur", "0x1", "-background", "white", "-extent", "%dx420" % w, ")",
                        "-append", name], check=True, timeout=120)
        parts.append(name)
    return subprocess.run(["convert", *parts, "-append", "-crop", "%dx%d+0+0" % (w, height), "+repage",
                           "-depth", "8", "bgra:-"], check=True, stdout=subprocess.PIPE,
                          timeout=120).stdout


def shown(screen, pictures, show):
    """Raw pictures through the X server, one after the other."""
    p = subprocess.Popen([show, "%dx%d" % (screen.width, screen.height)], env=screen.env,
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    screen.children.append(p)
    p.stdout.readline()  # the window is there
    raw, last = os.path.join(screen.work, "raw"), None
    for data in pictures:
        with open(raw, "wb") as f:
            f.write(data)
        p.stdin.write("show %s\n" % raw)
        p.stdin.flush()
        if p.stdout.readline().strip() != "ok":
            raise RuntimeError("xshow failed")
        last = screen.settled(last)
        yield last


def page(screen, rng, n):
    line, step = screen.width * 4, 20
    data = make_page(screen, rng, screen.height + step * n)
    crops = (data[i * step * line:(i * step + screen.height) * line] for i in range(n))
    yield from shown(screen, crops, SHOW)


def drag(screen, rng, n):
    w, h = screen.width, screen.height
    below = screen.terminal(w // 30, h // 20, w * 9 // 20, h * 8 // 10, "below", ("#202020", "#fcfcfc"))
    for _ in range(h // 17):
        below.write(text_line(rng, w // 24) + "\r\n")
    screen.settled()
    columns, rows = w // 30, h // 54
    top = screen.terminal(60, 60, columns * 8, rows * 17, "dragged", ("#f0f0c0", "#203050"))
    for _ in range(rows + 2):
        top.write(text_line(rng, columns * 3 // 4) + "\r\n")
    last, win = screen.settled(), screen.window("dragged")
    x = y = 60
    for i in range(n):
        x, y = x + 7 + i % 4, y + 2 + i % 3
        if x + columns * 8 > w or y + rows * 17 > h:
            x = y = 60
        screen.xdotool("windowmove", win, x, y)
        last = screen.settled(last)
        yield last


def switch(screen, rng, n):
    names = ("first", "second")
    files = [screen.terminal(0, 0, screen.width + 16, screen.height + 20, name, colours)
             for name, colours in zip(names, (("#202020", "#fcfcf8"), ("#d0d0d0", "#101418")))]
    for f in files:
        for _ in range(screen.height // 12):
            f.write(terminal_line(rng, screen.width // 10) + "\r\n")
    screen.settled(limit=6)
    wins = [screen.window(name) for name in names]
    last = screen.settled()
    for i in range(n):
        if i % 10 == 0:
            screen.xdotool("windowraise", wins[i // 10 % 2])
            last = screen.settled(last if i else None)
        yield last


def film(screen, rng, n):
    """A zoom with grain: camera pictures are not free to ship, and this is as hard for motion."""
    w, h = screen.width, screen.height
    source = ("mandelbrot=size=%dx%d:rate=%d:start_scale=0.3:end_scale=0.003:end_pts=90:maxiter=200" %
              (w, h, FPS))
    clip = subprocess.Popen(
        ["ffmpeg", "-loglevel", "error", "-f", "lavfi", "-i", source, "-vf",
         "gblur=sigma=0.5,noise=alls=5:allf=t:all_seed=1", "-frames:v", str(n), "-f", "rawvideo",
         "-pix_fmt", "bgr0", "-"], stdout=subprocess.PIPE)
    yield from shown(screen, (clip.stdout.read(w * h * 4) for _ in range(n)), SHOW)
    clip.wait()


SCENES = {f.__name__.replace("_", "-"): f
          for f in (still, typing, terminal, terminal_full, page, drag, switch, film)}
SHOW = os.environ.get("XSHOW", "xshow")


def record(name, directory, width, height, pictures):
    rng = random.Random(name)
    with tempfile.TemporaryDirectory() as work:
        screen = Screen(width, height, work)
        clip = Clip(os.path.join(directory, name + ".nut"), width, height)
        try:
            for picture in SCENES[name](screen, rng, pictures):
                clip.add(picture)
            clip.close()
        finally:
            screen.close()


def forget_others(directory, version):
    """Removes clips of another version."""
    path = os.path.join(directory, "version")
    if os.path.exists(path):
        with open(path, encoding="ascii") as f:
            if f.read() == version:
                return
    for name in os.listdir(directory):
        if name.endswith(".nut"):
            os.remove(os.path.join(directory, name))
    with open(path, "w", encoding="ascii") as f:
        f.write(version)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--again", action="store_true", help="also where a clip is there already")
    parser.add_argument("--scenes", default=",".join(SCENES))
    parser.add_argument("directory")
    args = parser.parse_args()
    for program in ("Xvfb", "xterm", "xdotool", "ffmpeg", "convert"):
        if not shutil.which(program):
            print("record_scenes: %s is missing" % program, file=sys.stderr)
            return 77
    width, height = map(int, args.size.split("x"))
    directory = os.path.join(args.directory, args.size)
    os.makedirs(directory, exist_ok=True)
    forget_others(directory, "%d %d\n" % (VERSION, args.pictures))
    for name in args.scenes.split(","):
        if args.again or not os.path.exists(os.path.join(directory, name + ".nut")):
            print("recording %s at %s" % (name, args.size), file=sys.stderr)
            record(name, directory, width, height, args.pictures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
