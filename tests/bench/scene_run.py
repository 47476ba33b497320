"""What the scenes of a bad network have in common: peers that are started, logs that are read, measures.

Every peer writes the log lines that scene_send and scene_recv describe; all times are CLOCK_MONOTONIC
of one machine, so the latency of each picture is known without any clock being set.
"""
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "interop"), os.path.join(HERE, "..", "lab")]
import lib  # noqa: E402
import netlab  # noqa: E402,F401

TRACE = os.path.join(HERE, "scenes", "busy.trace")
BUSY_LIMIT = 0.8


def now_us():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def quantile(values, share):
    v = sorted(values)
    return v[min(len(v) - 1, int(share * len(v)))] if v else None


class Machine:
    """How busy the whole machine was since it was made, 0 to 1."""

    def __init__(self):
        self.first = self._read()

    @staticmethod
    def _read():
        with open("/proc/stat") as f:
            v = [int(x) for x in f.readline().split()[1:9]]
        return sum(v), v[3] + v[4]

    def busy(self):
        total, idle = (b - a for a, b in zip(self.first, self._read()))
        return 1 - idle / total if total else 0.0


class Log:
    """A log file, read as far as it is written; rows(kind) are lists of words."""

    def __init__(self, path):
        self.path = path

    def rows(self, kind):
        try:
            with open(self.path, errors="replace") as f:
                text = f.read()
        except OSError:
            return []
        words = (line.split() for line in text[:text.rfind("\n") + 1].splitlines())
        return [w[1:] for w in words if w and w[0] == kind]


class Pushed:
    def __init__(self, row):
        self.t, self.number, self.bytes = int(row[0]), int(row[1]), int(row[3])


class Shown:
    def __init__(self, row):
        self.viewer, self.t, self.number, self.latency, self.bytes, self.good, self.key = (int(x) for x in row[:7])


class Run:
    """A sender on side a, receivers on side b; one log of each."""

    def __init__(self, env, lab, peer):
        self.env, self.lab, self.peer, self.n = env, lab, peer, 0
        self.procs = []

    def path(self, name):
        self.n += 1
        return self.env.path(f"{name}-{id(self):x}-{self.n}.log")

    def sender(self, start_bps, **options):
        path = self.path("send")
        p, url = self.peer.sender(self.env, self.lab.a, path, start_bps, options)
        self.procs.append(p)
        return p, url, Log(path)

    def receiver(self, url, **options):
        path = self.path("recv")
        p = self.peer.receiver(self.env, self.lab.b, url, path, options)
        self.procs.append(p)
        return p, Log(path)

    def cpu_s(self):
        return sum(p.cpu_s() for p in self.procs if p.running())


def wait_first(log, timeout_s=30):
    lib.wait_until("the first picture came", lambda: log.rows("au") or log.rows("first"), timeout_s)


def wait_s(seconds, procs=()):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for p in procs:
            if not p.running():
                raise lib.Failed(f"{p.name} ended with {p.p.returncode}: {p.err()[-400:]}")
        time.sleep(min(0.2, max(0, end - time.monotonic())))


def measure(send, recv, begin_us, end_us, viewer=0):
    """Of the pictures that were sent in [begin, end): shown, latency, the longest freeze, key requests."""
    pushed = [p for p in map(Pushed, send.rows("push")) if begin_us <= p.t < end_us]
    shown = [s for s in map(Shown, recv.rows("au")) if s.viewer == viewer]
    size = {p.number: p.bytes for p in pushed}
    for s in shown:  # a start code may have lost its first zero byte
        s.good = s.good and (s.bytes == 0 or abs(s.bytes - size.get(s.number, s.bytes)) < 16)
    good = {s.number: s for s in shown if s.good}
    came = [good[p.number] for p in pushed if p.number in good]
    times = sorted(s.t for s in shown if s.good and begin_us <= s.t < end_us)
    gaps = [b - a for a, b in zip([begin_us, *times], [*times, end_us])]
    skipped = sum(begin_us <= int(r[0]) < end_us for r in send.rows("skip"))
    latency = [s.latency / 1000 for s in came]
    return {
        "sent": len(pushed), "skipped": skipped,
        "shown_share": len(came) / len(pushed) if pushed else 0.0,
        "bad_references": sum(not s.good for s in shown if begin_us <= s.t < end_us),
        "latency_p50_ms": quantile(latency, 0.5), "latency_p95_ms": quantile(latency, 0.95),
        "latency_max_ms": max(latency, default=None),
        "freeze_ms": max(gaps, default=0) / 1000,
        "fps": len(times) / ((end_us - begin_us) / 1e6),
        "keys_asked": sum(begin_us <= int(r[0]) < end_us for r in send.rows("key")),
        "bytes": sum(s.bytes for s in came),
    }


def series_use(stats, begin_s, end_s, direction="a->b"):
    """The share of what the rate could carry between two times since the lab's reset."""
    s = stats[direction]["series"]
    step = s["slice_us"] / 1e6
    i, j = int(begin_s / step), int(end_s / step)
    capacity = sum(s["capacity"][i:j])
    return sum(s["bytes"][i:j]) / capacity if capacity > 0 else 0.0


def first_use_s(stats, from_s, share, window_s=1.0, direction="a->b"):
    """Seconds after from_s until a window of window_s that begins later carries this share; None: never."""
    s = stats[direction]["series"]
    step = s["slice_us"] / 1e6
    n, i = int(window_s / step), int(round(from_s / step))
    for k in range(i, len(s["bytes"]) - n):
        capacity = sum(s["capacity"][k:k + n])
        if capacity > 0 and sum(s["bytes"][k:k + n]) >= share * capacity:
            return (k - i + n) * step
    return None


class HevcastPeer:
    """The public library, with access units that follow a recorded encode."""
    name = "hevcast"

    def sender(self, env, side, log, _start_bps, options):
        argv = [lib.program("scene_send", "tests", "bench"), "--listen", side.ip + ":0", "--log", log]
        if "keys" not in options:
            argv += ["--trace", TRACE]
        for k, v in options.items():
            argv += ["--" + k, v]
        p = env.spawn("scene_send", side.wrap(argv))
        lib.wait_until("scene_send listens", lambda: p.out().endswith(b"\n") or not p.running(), 10)
        if not p.running():
            raise lib.Failed(f"scene_send: {p.err()}")
        return p, p.out().decode().strip()

    def receiver(self, env, side, url, log, options):
        argv = [lib.program("scene_recv", "tests", "bench"), url, "--log", log]
        for k, v in options.items():
            argv += ["--" + k, v]
        return env.spawn("scene_recv", side.wrap(argv))
