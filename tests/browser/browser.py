"""A real headless browser for the tests of the page: starts driver.mjs, speaks JSON with it.

The npm packages of package-lock.json are installed below the build directory once (BROWSER_DIR). A
browser, Node.js or npm that is missing, or packages that cannot be fetched, skip the test loudly."""
import base64
import fcntl
import hashlib
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "interop"))
import lib  # noqa: E402
import numpy as np  # noqa: E402

NAMES = {"chromium": ["chromium"], "firefox": ["firefox-esr", "firefox"]}


def binary(kind):
    names = NAMES[kind.split("-")[0]]
    for name in names:
        path = os.environ.get(names[0].upper().replace("-", "_")) or shutil.which(name)
        if path:
            return path
    lib.skip(f"{names[0]} is not installed: tools/install-packages test")
    return None


def packages():
    """The directory that has driver.mjs and its packages."""
    lib.need("node", "npm")
    where = os.environ.get("BROWSER_DIR") or os.path.join(lib.BUILD, "tests", "browser")
    os.makedirs(where, exist_ok=True)
    with open(os.path.join(where, ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with open(os.path.join(HERE, "package-lock.json"), "rb") as f:
            stamp = hashlib.sha256(f.read()).hexdigest()
        stamp_path = os.path.join(where, "installed")
        for name in ("package.json", "package-lock.json", "driver.mjs"):
            shutil.copy(os.path.join(HERE, name), where)
        if not os.path.exists(stamp_path) or open(stamp_path).read() != stamp:
            r = subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=where,
                               stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
            if r.returncode:
                lib.skip(f"npm cannot install the browsers' driver: {r.stderr.strip()[-400:]}")
            with open(stamp_path, "w") as f:
                f.write(stamp)
    return where


class Browser:
    """kind: chromium, firefox, or firefox-h265 (with the preference for HEVC in WebCodecs)."""

    def __init__(self, env, kind, wrap=lambda argv: argv, origin=""):
        """wrap: argv to what is started; origin: an address of plain HTTP that counts as secure."""
        where = packages()
        path = binary(kind)
        extra = {"CHROMIUM": path, "FIREFOX": path, "HOME": env.tmp, "TMPDIR": env.tmp,
                 "SECURE_ORIGIN": origin}
        self.env, self.kind = env, kind
        self.proc = env.spawn(kind, wrap(["node", os.path.join(where, "driver.mjs"), kind]),
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, extra_env=extra)
        self.answers = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        print(f"     {self._answer(60)}", flush=True)

    def _read(self):
        for line in self.proc.p.stdout:
            self.answers.put(line)
        self.answers.put(None)

    def _answer(self, timeout_s):
        try:
            line = self.answers.get(timeout=timeout_s * lib.SLOW)
        except queue.Empty:
            raise lib.Failed(f"{self.kind} does not answer within {timeout_s} s") from None
        if line is None:
            raise lib.Failed(f"{self.kind} has ended: {self.proc.err()[-800:]}")
        answer = json.loads(line)
        if "error" in answer:
            raise lib.Failed(f"{self.kind}: {answer['error']}")
        return answer["ok"]

    def do(self, what, timeout_s=40, **args):
        self.proc.p.stdin.write(json.dumps({"do": what, **args}).encode() + b"\n")
        self.proc.p.stdin.flush()
        return self._answer(timeout_s)

    def wait_state(self, *wanted, timeout_s=20):
        try:
            return self.do("state", wanted=list(wanted), timeout=int(timeout_s * 1000 * lib.SLOW),
                           timeout_s=timeout_s + 20)
        except lib.Failed as e:
            now = self.do("evaluate", code="return [document.body.dataset.state, "
                          "document.getElementById('message-text').textContent, document.body.dataset.stats]")
            raise lib.Failed(f"{e}; the page says {now}; its log: {self.do('log')}") from None

    def pixels(self):
        """What the page shows: an array [height, width, 3]."""
        p = self.do("pixels")
        data = np.frombuffer(base64.b64decode(p["data"]), np.uint8)
        return data.reshape(p["height"], p["width"], 4)[..., :3]

    def wait_picture(self, quality, least, timeout_s):
        """Until the shown picture is good; (its quality, the picture)."""
        end, best = time.monotonic() + timeout_s * lib.SLOW, -1.0
        while time.monotonic() < end:
            picture = self.pixels()
            best = quality(picture)
            if best >= least:
                return best, picture
            time.sleep(0.2)
        return best, picture

    def stats(self):
        return self.do("stats") or {}

    def screenshot(self, **kw):
        """The page as it is on the screen: an array [height, width, 3]."""
        lib.need("ffmpeg", "ffprobe")
        path = self.env.path("page.png")
        self.do("screenshot", path=path, **kw)
        size = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "stream=width,height", "-of", "csv=p=0",
                               path], capture_output=True, text=True, check=True, timeout=30).stdout.split(",")
        raw = subprocess.run(["ffmpeg", "-v", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
                             capture_output=True, check=True, timeout=30).stdout
        return np.frombuffer(raw, np.uint8).reshape(int(size[1]), int(size[0]), 3)

    def close(self):
        self.proc.p.stdin.close()
        self.proc.wait(20)


def luma_psnr(rgb):
    """Of a drawn picture against the screen's luma; -1 when the size is another."""
    expected = lib.yuv_from_rgb(rgb)[0]

    def quality(picture):
        if picture.shape != rgb.shape:
            return -1.0
        return lib.psnr(lib.yuv_from_rgb(picture)[0], expected)
    return quality


def rgb_psnr(rgb):
    return lambda picture: lib.psnr(picture, rgb) if picture.shape == rgb.shape else -1.0


def _lab(rgb):
    c = np.asarray(rgb, np.float64) / 255
    c = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ c
    f = xyz / np.array([0.9505, 1.0, 1.089])
    f = np.where(f > 216 / 24389, np.cbrt(f), (24389 / 27 * f + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def worst_delta_e(picture):
    """CIE76 of the mean colour inside each bar of lib.desktop."""
    width = picture.shape[1]
    worst = 0.0
    for i, c in enumerate(lib.BARS):
        x0, x1 = i * width // len(lib.BARS) + 8, (i + 1) * width // len(lib.BARS) - 8
        mean = picture[8:lib.BARS_H - 8, x0:x1].reshape(-1, 3).mean(0)
        worst = max(worst, float(np.linalg.norm(_lab(mean) - _lab(c))))
    return worst
