"""What the end-to-end tests share: displays, known pictures, the program's two ends, PSNR.

A test is a program:

    import lib
    with lib.Env("what it tests") as env:
        env.xvfb(1280, 720)
        ...
        env.check(psnr > 40, f"PSNR {psnr:.1f} dB is above 40 dB")

env.check() prints what was measured, pass or fail, and a failure ends the test with exit status 1
after the logs of every process were printed (TEST_KEEP_GOING=1: at its end, all failures listed). env ends everything that it started, by process id.
Every wait has an end. Ports are always chosen by the system (port 0), displays by -displayfd.

HEVCAST, XSHOW, CELLREAD and CELLCLOCK in the environment are the programs under test (meson sets
them); without them those of ./build are taken, so that a test can be run by hand.
"""
import hashlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

try:
    import numpy as np
except ImportError:
    print("SKIP: python3-numpy is missing", file=sys.stderr)
    sys.exit(77)

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.normpath(os.path.join(HERE, "..", "..", "build"))
PYTHON = "/usr/bin/python3"
# Under a sanitizer everything takes several times longer.
SLOW = float(os.environ.get("TEST_TIME_FACTOR", "1"))


def program(name, *under):
    """Of the environment (HEVCAST=…), or of the build directory."""
    path = os.environ.get(name.upper()) or os.path.join(BUILD, *under, name)
    if not os.access(path, os.X_OK):
        skip(f"{path} is not built")
    return path


def skip(reason):
    bar = "=" * 72
    print(f"{bar}\nSKIP: {reason}\n{bar}", file=sys.stderr)
    sys.exit(77)


def need(*tools):
    for t in tools:
        if not shutil.which(t):
            skip(f"{t} is not installed")


class Failed(Exception):
    pass


# ---------------------------------------------------------------- processes

class Proc:
    """A child with its standard error in a file; cpu_s() and rss_kb() read /proc."""
    killed = False  # by the test itself, on purpose

    def __init__(self, env, name, argv, stdin=subprocess.DEVNULL, stdout=None, extra_env=None):
        self.env, self.name, self.argv = env, name, [str(a) for a in argv]
        self.err_path = os.path.join(env.tmp, f"{len(env.procs):02d}-{name}.err")
        self.out_path = None
        opened = []
        err = open(self.err_path, "wb")
        opened.append(err)
        if stdout is None:
            self.out_path = self.err_path[:-3] + "out"
            stdout = open(self.out_path, "wb")
            opened.append(stdout)
        environ = {**os.environ, **env.environ, **(extra_env or {})}
        self.started = time.monotonic()
        self.p = subprocess.Popen(self.argv, stdin=stdin, stdout=stdout, stderr=err, env=environ)
        self.pid = self.p.pid
        for f in opened:
            f.close()
        env.procs.append(self)

    def running(self):
        return self.p.poll() is None

    def signal(self, sig):
        if self.running():
            self.killed = self.killed or sig == signal.SIGKILL
            self.p.send_signal(sig)

    def wait(self, timeout_s):
        """The exit status; fails the test when it does not end in time."""
        try:
            return self.p.wait(timeout_s * SLOW)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} (pid {self.pid}) did not end within {timeout_s} s") from None

    def end(self):
        """SIGTERM, and SIGKILL when that does not help."""
        if self.running():
            self.p.send_signal(signal.SIGCONT)
            self.p.terminate()
            try:
                self.p.wait(5 * SLOW)
            except subprocess.TimeoutExpired:
                self.p.kill()
                self.p.wait()
        for f in (self.p.stdin, self.p.stdout):
            if f:
                try:
                    f.close()
                except OSError:
                    pass

    def err(self):
        with open(self.err_path, errors="replace") as f:
            return f.read()

    def out(self):
        with open(self.out_path, "rb") as f:
            return f.read()

    def cpu_s(self):
        """User and system seconds of all its threads so far."""
        with open(f"/proc/{self.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_kb(self):
        with open(f"/proc/{self.pid}/status") as f:
            for line in f:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1])
        return 0


class Hevcast(Proc):
    """`hevcast share` or `hevcast view` with its --stats in a file; side: of tests/lab."""

    def __init__(self, env, verb, args, side=None, **kw):
        self.stats_path = os.path.join(env.tmp, f"{len(env.procs):02d}-{verb}.json")
        argv = [program("hevcast"), verb, *args, "--stats", self.stats_path]
        super().__init__(env, verb, side.wrap(argv) if side else argv, **kw)

    def events(self, name=None):
        """All whole lines so far."""
        try:
            with open(self.stats_path) as f:
                text = f.read()
        except OSError:
            return []
        lines = text.split("\n")[:-1]
        events = [json.loads(line) for line in lines]
        return [e for e in events if name is None or e["event"] == name]

    def last_stats(self):
        stats = self.events("stats")
        return stats[-1] if stats else {}

    def wait_event(self, name, timeout_s, where=lambda e: True, count=1):
        end = time.monotonic() + timeout_s * SLOW
        while True:
            found = [e for e in self.events(name) if where(e)]
            if len(found) >= count:
                return found[count - 1]
            if time.monotonic() > end:
                raise Failed(f"{self.name}: no event {name!r} within {timeout_s} s")
            if not self.running():
                raise Failed(f"{self.name} ended with {self.p.returncode} before event {name!r}: "
                             f"{self.err()[-500:]}")
            time.sleep(0.02)


class RawReader(threading.Thread):
    """Reads raw pictures of a known size from a pipe, keeps the last one and their times."""

    def __init__(self, pipe, picture_bytes):
        super().__init__(daemon=True)
        self.pipe, self.bytes = pipe, picture_bytes
        self.lock = threading.Condition()
        self.count, self.last, self.times = 0, None, []
        self.ended = False
        self.start()

    def run(self):
        while True:
            data = bytearray(self.bytes)
            view, got = memoryview(data), 0
            while got < self.bytes:
                try:
                    n = self.pipe.readinto(view[got:])
                except (OSError, ValueError):
                    n = 0
                if not n:
                    with self.lock:
                        self.ended = True
                        self.lock.notify_all()
                    return
                got += n
            with self.lock:
                self.count += 1
                self.last = data
                self.times.append(time.monotonic())
                self.lock.notify_all()

    def wait_count(self, n, timeout_s):
        with self.lock:
            if not self.lock.wait_for(lambda: self.count >= n or self.ended, timeout_s * SLOW) \
                    or self.count < n:
                raise Failed(f"{self.count} pictures of {n} within {timeout_s} s")

    def wait_quiet(self, quiet_s, timeout_s):
        """Waits until no picture came for quiet_s: a still screen has become sharp."""
        end = time.monotonic() + timeout_s * SLOW
        while time.monotonic() < end:
            with self.lock:
                if self.times and time.monotonic() - self.times[-1] >= quiet_s:
                    return np.frombuffer(bytes(self.last), np.uint8)
            time.sleep(0.05)
        raise Failed(f"pictures still come after {timeout_s} s of a still screen "
                     f"({self.count} so far)" if self.count else "no picture came")

    def wait_good(self, quality, limit, timeout_s):
        """Waits until quality(picture) is above limit: the last value and picture, good or not.
        On a busy machine that may take long, but it must come about."""
        end = time.monotonic() + timeout_s * SLOW
        seen, value, data = 0, 0.0, None
        while time.monotonic() < end and value <= limit:
            with self.lock:
                self.lock.wait_for(lambda: self.count > seen or self.ended, 0.5)
                if self.count == seen:
                    continue
                seen = self.count
            data = self.picture()
            value = quality(data)
        return value, data

    def picture(self):
        with self.lock:
            return np.frombuffer(bytes(self.last), np.uint8)


class Show:
    """xshow: the known desktop."""

    def __init__(self, env, width, height):
        self.env, self.n = env, 0
        self.proc = env.spawn("xshow", [program("xshow", "tests", "interop"),
                                        f"{width}x{height}"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._answer()

    def _answer(self):
        answers = queue.Queue()
        threading.Thread(target=lambda: answers.put(self.proc.p.stdout.readline()),
                         daemon=True).start()
        try:
            line = answers.get(timeout=10 * SLOW)
        except queue.Empty:
            line = b"nothing"
        if line != b"ok\n":
            raise Failed(f"xshow answered {line!r}: {self.proc.err()}")

    def command(self, text):
        self.proc.p.stdin.write(text.encode() + b"\n")
        self.proc.p.stdin.flush()
        self._answer()

    def show(self, rgb):
        """rgb: an array [height, width, 3] of bytes; on the screen when this returns."""
        path = os.path.join(self.env.tmp, f"show-{self.n % 2}.bgrx")
        self.n += 1
        with open(path, "wb") as f:
            f.write(bgrx(rgb))
        self.command(f"show {path}")

    def rect(self, x, y, w, h, colour):
        self.command(f"rect {x} {y} {w} {h} {colour:06x}")


class Env:
    def __init__(self, title, time_limit_s=170):
        self.title, self.procs, self.environ = title, [], {}
        self.tmp = tempfile.mkdtemp(prefix="hevcast-test-")
        self.checks, self.failed = 0, []
        self.limit_s = time_limit_s
        os.environ.pop("DISPLAY", None)
        os.environ.pop("WAYLAND_DISPLAY", None)

    # -- life

    def __enter__(self):
        print(f"# {self.title}", flush=True)
        signal.signal(signal.SIGTERM, self._interrupted)
        signal.signal(signal.SIGALRM, self._interrupted)
        signal.alarm(int(self.limit_s * SLOW))
        return self

    @staticmethod
    def _interrupted(sig, _frame):
        raise Failed(f"interrupted by {signal.Signals(sig).name}: too slow, or stuck")

    def __exit__(self, kind, error, trace):
        signal.alarm(0)
        for p in reversed(self.procs):
            p.end()
        if kind is None:
            try:
                self._no_crash()
            except Failed as e:
                kind, error = Failed, e
        if kind is not None and kind is not SystemExit:
            if kind is not Failed:
                traceback.print_exception(kind, error, trace)
            print(f"FAILED: {kind.__name__}: {error}", file=sys.stderr)
            for p in self.procs:
                print(f"---- {p.name}: {' '.join(p.argv)}: exit status {p.p.returncode}\n"
                      + p.err()[-3000:], file=sys.stderr)
                if isinstance(p, Hevcast):
                    lines = [json.dumps(e) for e in p.events()]
                    print("\n".join(lines[:6] + ["…"] + lines[-3:]), file=sys.stderr)
        shutil.rmtree(self.tmp, ignore_errors=True)
        if kind is None:
            if not self.checks or self.failed:
                print(f"FAILED: {self.failed or 'nothing was checked'}", file=sys.stderr)
                sys.exit(1)
            print(f"passed, {self.checks} checks", flush=True)
            return False
        if kind is not SystemExit:
            sys.exit(1)
        return False

    def _no_crash(self):
        """A test is not passed when a program under test crashed, even at its very end."""
        for p in self.procs:
            if not isinstance(p, Hevcast):
                continue
            if p.p.returncode < 0 and p.p.returncode != -signal.SIGKILL:
                raise Failed(f"{p.name} died of {signal.Signals(-p.p.returncode).name}")
            if p.p.returncode == -signal.SIGKILL and not p.killed:
                raise Failed(f"{p.name} did not end on SIGTERM")
            for mark in ("Sanitizer:", "runtime error:"):
                if mark in p.err():
                    raise Failed(f"{p.name}: a sanitizer reports")

    def check(self, good, what):
        self.checks += 1
        print(f"{'ok  ' if good else 'FAIL'} {what}", flush=True)
        if not good:
            self.failed.append(what)
            if not os.environ.get("TEST_KEEP_GOING"):
                raise Failed(what)

    def path(self, name):
        return os.path.join(self.tmp, name)

    def spawn(self, name, argv, **kw):
        return Proc(self, name, argv, **kw)

    def run(self, argv, timeout_s=10, **kw):
        """Runs to the end; the Proc, whose p.returncode, out() and err() tell the rest."""
        p = self.spawn(os.path.basename(str(argv[0])), argv, **kw)
        p.wait(timeout_s)
        return p

    # -- displays

    def _display(self, name, argv):
        need(argv[0])
        r, w = os.pipe()
        os.set_inheritable(w, True)
        err = os.path.join(self.tmp, name + ".err")
        with open(err, "wb") as f:
            p = subprocess.Popen([*argv, "-displayfd", str(w)], pass_fds=[w], stdout=f, stderr=f,
                                 stdin=subprocess.DEVNULL)
        os.close(w)
        proc = Proc.__new__(Proc)
        proc.env, proc.name, proc.argv, proc.p, proc.pid = self, name, argv, p, p.pid
        proc.err_path = proc.out_path = err
        self.procs.append(proc)
        with os.fdopen(r, "rb") as f:
            number = f.readline().decode().strip()
        if not number:
            raise Failed(f"{argv[0]} did not start: {proc.err()}")
        self.display = f":{number}"
        self.environ["DISPLAY"] = self.display
        return self.display

    def xvfb(self, width, height):
        return self._display("Xvfb", ["Xvfb", "-screen", "0", f"{width}x{height}x24", "-nolisten",
                                      "tcp", "-noreset"])

    def xvnc(self, width, height):
        """A display that can change its size (Xvfb has one size)."""
        return self._display("Xvnc", ["Xvnc", "-geometry", f"{width}x{height}", "-depth", "24",
                                      "-SecurityTypes", "None", "-localhost", "-rfbport", "-1",
                                      "-rfbunixpath", self.path("vnc"), "-noreset"])

    # -- the two ends

    def share(self, *args, listen="127.0.0.1:0", token="", wait=True, **kw):
        """`hevcast share`; waits until it listens and gives it the attribute url."""
        args = list(args)
        if listen:
            args += ["--listen", listen]
        if token is not None:
            args += ["--token", token]
        p = Hevcast(self, "share", args, **kw)
        if wait:
            p.url = p.wait_event("listening", 10)["url"]
        return p

    def view(self, url, *args, **kw):
        return Hevcast(self, "view", [url, "--no-window", *args], **kw)

    def view_raw(self, url, picture_bytes, *args, **kw):
        """A view whose pictures are read: (process, RawReader)."""
        p = self.view(url, "--raw", "-", *args, stdout=subprocess.PIPE, **kw)
        return p, RawReader(p.p.stdout, picture_bytes)


# ---------------------------------------------------------------- pictures

# 5x7 capitals and digits, a byte a column, low bit at the top.
_GLYPHS = {
    "A": "7e1111117e", "B": "7f49494936", "C": "3e41414122", "D": "7f4141221c", "E": "7f49494941",
    "F": "7f09090901", "G": "3e4149497a", "H": "7f0808087f", "I": "00417f4100", "J": "2040413f01",
    "K": "7f08142241", "L": "7f40404040", "M": "7f020c027f", "N": "7f0408107f", "O": "3e4141413e",
    "P": "7f09090906", "Q": "3e4151215e", "R": "7f09192946", "S": "4649494931", "T": "01017f0101",
    "U": "3f4040403f", "V": "1f2040201f", "W": "3f4038403f", "X": "6314081463", "Y": "0708700807",
    "Z": "6151494543", "0": "3e5149453e", "1": "00427f4000", "2": "4261514946", "3": "2141454b31",
    "4": "1814127f10", "5": "2745454539", "6": "3c4a494930", "7": "0171090503", "8": "3649494936",
    "9": "064949291e", " ": "0000000000", ".": "0060600000"}

BARS = [(255, 255, 255), (255, 255, 0), (0, 255, 255), (0, 255, 0), (255, 0, 255), (255, 0, 0),
        (0, 0, 255), (0, 0, 0)]
BARS_H = 96


def draw_text(rgb, x, y, text, ink):
    for ch in text:
        columns = bytes.fromhex(_GLYPHS[ch])
        if x + 6 > rgb.shape[1] or y + 8 > rgb.shape[0]:
            return
        for i, column in enumerate(columns):
            for j in range(7):
                if column >> j & 1:
                    rgb[y + j, x + i] = ink
        x += 6


def desktop(width, height, seed=1):
    """The known desktop: colour bars at the top, then coloured text on light and dark."""
    rng = np.random.default_rng(seed)
    rgb = np.full((height, width, 3), 255, np.uint8)
    for i, c in enumerate(BARS):
        rgb[:BARS_H, i * width // len(BARS):(i + 1) * width // len(BARS)] = c
    words = ["THE", "PICTURE", "IS", "ENCODED", "42", "SCREEN", "TEXT", "0123", "COLOUR", "OF",
             "LATENCY", "VIEWER", "789.", "SHARP", "BUFFER", "PACKET"]
    inks_light = [(0, 0, 0), (0, 0, 0), (200, 0, 0), (0, 0, 200), (0, 120, 0), (120, 0, 120)]
    inks_dark = [(230, 230, 230), (230, 230, 230), (255, 90, 90), (120, 160, 255), (90, 255, 90)]
    dark_from = BARS_H + (height - BARS_H) * 2 // 3
    rgb[dark_from:] = (24, 24, 32)
    for y in range(BARS_H + 8, height - 10, 12):
        inks = inks_dark if y >= dark_from else inks_light
        if y < dark_from < y + 10:
            continue
        x = 10
        while x < width - 80:
            word = words[rng.integers(len(words))]
            draw_text(rgb, x, y, word, inks[rng.integers(len(inks))])
            x += 6 * len(word) + 8
    return rgb


def plain(width, height, colour):
    return np.full((height, width, 3), colour, np.uint8)


def bgrx(rgb):
    out = np.zeros(rgb.shape[:2] + (4,), np.uint8)
    out[..., 2::-1] = rgb
    return out.tobytes()


def yuv_from_rgb(rgb):
    """BT.709 limited range in floating point: the three planes at full size."""
    r, g, b = (rgb[..., i].astype(np.float64) for i in range(3))
    y = 0.2126 * r + 0.7152 * g + 0.0722 * b
    cb, cr = (b - y) / 1.8556, (r - y) / 1.5748
    return 16 + y * 219 / 255, 128 + cb * 224 / 255, 128 + cr * 224 / 255


def rgb_from_yuv(y, cb, cr):
    y, cb, cr = ((y.astype(np.float64) - 16) * 255 / 219, (cb.astype(np.float64) - 128) * 255 / 224,
                 (cr.astype(np.float64) - 128) * 255 / 224)
    r, b = y + 1.5748 * cr, y + 1.8556 * cb
    g = (y - 0.2126 * r - 0.0722 * b) / 0.7152
    return np.clip(np.stack([r, g, b], -1), 0, 255)


def i420_bytes(width, height):
    return width * height + 2 * ((width + 1) // 2) * ((height + 1) // 2)


def i420_planes(data, width, height):
    cw, ch = (width + 1) // 2, (height + 1) // 2
    n = width * height
    return (data[:n].reshape(height, width), data[n:n + cw * ch].reshape(ch, cw),
            data[n + cw * ch:n + 2 * cw * ch].reshape(ch, cw))


def i420_to_rgb(data, width, height):
    y, u, v = i420_planes(data, width, height)
    up = [p.repeat(2, 0).repeat(2, 1)[:height, :width] for p in (u, v)]
    return rgb_from_yuv(y, *up)


def i444_to_rgb(data, width, height):
    return rgb_from_yuv(*data[:3 * width * height].reshape(3, height, width))


def psnr(a, b):
    mse = np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)
    return 99.0 if mse == 0 else min(99.0, 10 * np.log10(255 ** 2 / mse))


def psnr_y(data, rgb):
    """Luma of an I420 (or I444) picture against the source converted exactly."""
    h, w = rgb.shape[:2]
    return psnr(data[:w * h].reshape(h, w), yuv_from_rgb(rgb)[0])


def worst_bar(decoded_rgb):
    """The largest error of a mean colour inside the bars (8 pixels off their edges), 0…255."""
    width = decoded_rgb.shape[1]
    worst = 0
    for i, c in enumerate(BARS):
        x0, x1 = i * width // len(BARS) + 8, (i + 1) * width // len(BARS) - 8
        mean = decoded_rgb[8:BARS_H - 8, x0:x1].reshape(-1, 3).mean(0)
        worst = max(worst, float(np.abs(mean - np.array(c)).max()))
    return worst


def read_y4m(path):
    """(width, height, list of pictures as bytes, header); a partial last picture is left out."""
    with open(path, "rb") as f:
        data = f.read()
    header_end = data.index(b"\n")
    fields = data[:header_end].decode().split()
    if fields[0] != "YUV4MPEG2":
        raise Failed(f"{path}: not a y4m file")
    width = int(next(x[1:] for x in fields if x[0] == "W"))
    height = int(next(x[1:] for x in fields if x[0] == "H"))
    chroma = next((x[1:] for x in fields if x[0] == "C"), "420")
    size = 3 * width * height if chroma.startswith("444") else i420_bytes(width, height)
    pictures, pos = [], header_end + 1
    while pos < len(data):
        line_end = data.find(b"\n", pos)
        if line_end < 0 or not data.startswith(b"FRAME", pos) or line_end + 1 + size > len(data):
            break
        pictures.append(np.frombuffer(data, np.uint8, size, line_end + 1))
        pos = line_end + 1 + size
    return width, height, pictures, " ".join(fields)


def first_picture(view, timeout_s=10):
    """Seconds from the start of the process to its first decoded picture, by its own clock."""
    return view.wait_event("first-picture", timeout_s)["t_us"] / 1e6


def md5s(data, size):
    return [hashlib.md5(data[i:i + size]).hexdigest() for i in range(0, len(data) - size + 1, size)]


def wait_until(what, condition, timeout_s, step_s=0.05):
    end = time.monotonic() + timeout_s * SLOW
    while not condition():
        if time.monotonic() > end:
            raise Failed(f"not within {timeout_s} s: {what}")
        time.sleep(step_s)
