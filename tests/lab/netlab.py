"""The lab: two network namespaces with a bad network between them. See README.md.

    import netlab
    with netlab.Lab(a_to_b="rate=10M delay=20 queue=300 loss=2", b_to_a="delay=20") as lab:
        share = env.spawn("share", lab.a.wrap(["hevcast", "share", "--listen", lab.a.ip + ":0", …]))
        view = env.spawn("view", lab.b.wrap(["hevcast", "view", url, …]))
        lab.set("a->b", "rate=2M")
        print(lab.stats()["a->b"]["queue_p95_us"])

The namespaces vanish with the emulator and the programs in them: nothing is left on the machine,
however a test ends. netlab.need() skips a test loudly where the privilege is missing.
"""
import json
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.normpath(os.path.join(HERE, "..", "..", "build"))


class Missing(Exception):
    """The lab cannot be had on this machine; the text says why."""


def _program():
    path = os.environ.get("LAB") or os.path.join(BUILD, "tests", "lab", "lab")
    if not os.access(path, os.X_OK):
        raise Missing(f"{path} is not built")
    return path


class Side:
    def __init__(self, name, pid, fd, ip):
        self.name, self.ip = name, ip
        self._net = f"/proc/{pid}/fd/{fd}"

    def wrap(self, argv):
        """argv, so that it runs on this side. The process keeps its pid: nsenter becomes it."""
        return ["nsenter", f"--net={self._net}", "--", *[str(a) for a in argv]]

    def popen(self, argv, **kw):
        return subprocess.Popen(self.wrap(argv), **kw)

    def run(self, argv, timeout_s=20, **kw):
        return subprocess.run(self.wrap(argv), timeout=timeout_s, check=True, capture_output=True,
                              text=True, **kw)


class Lab:
    """a_to_b, b_to_a: the keys of each direction (README.md); seed: what is random follows from it."""

    def __init__(self, a_to_b="", b_to_a="", seed=1):
        if not shutil.which("nsenter"):
            raise Missing("nsenter (util-linux) is not installed")
        argv = [_program(), "--seed", str(seed), "--a-to-b", a_to_b, "--b-to-a", b_to_a]
        self.p = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)
        line = self.p.stdout.readline()
        if not line:
            why = self.p.stderr.read().strip()
            self.p.wait()
            raise Missing(f"no lab: {why or 'exit status ' + str(self.p.returncode)}; it needs the "
                          "right to make network namespaces and TAP devices (root, /dev/net/tun)")
        self.about = json.loads(line)
        self.a, self.b = (Side(n, self.p.pid, self.about[n]["fd"], self.about[n]["ip"])
                          for n in "ab")
        try:
            self.a.run(["true"])
        except (subprocess.SubprocessError, OSError) as e:
            self.close()
            raise Missing(f"a namespace cannot be entered: {e}") from None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.p.poll() is None:
            self.p.terminate()
            try:
                self.p.wait(5)
            except subprocess.TimeoutExpired:
                self.p.kill()
                self.p.wait()
        for f in (self.p.stdin, self.p.stdout, self.p.stderr):
            f.close()

    def command(self, text):
        self.p.stdin.write(text + "\n")
        self.p.stdin.flush()
        answer = json.loads(self.p.stdout.readline() or '{"error": "the lab has ended"}')
        if "error" in answer:
            raise ValueError(f"lab: {text}: {answer['error']}")
        return answer

    def set(self, direction, keys):
        """Now; what was planned before is forgotten. direction: "a->b", "b->a" or "both"."""
        self.command(f"{direction} {keys}")

    def plan(self, direction, steps):
        """steps: [(seconds from now, keys), …] in the order of time; exact to the microsecond."""
        for at_s, keys in steps:
            self.command(f"at {at_s:.6f} {direction} {keys}")

    def trace(self, direction, path):
        """A file of lines "SECONDS KEYS"; "#" begins a remark."""
        with open(path) as f:
            lines = [line.split("#")[0].split(None, 1) for line in f]
        self.plan(direction, [(float(x[0]), x[1].strip()) for x in lines if len(x) == 2])

    def reset(self):
        """The counters and the series begin anew."""
        self.command("reset")

    def stats(self):
        return self.command("stats")


def need(**kw):
    """A Lab, or the test is skipped with exit status 77 and the reason."""
    try:
        return Lab(**kw)
    except Missing as e:
        bar = "=" * 72
        print(f"{bar}\nSKIP: {e}\n{bar}", file=sys.stderr)
        sys.exit(77)
