#!/usr/bin/python3
"""share --tls: `view` obeys the fingerprint in the printed address, and refuses every other way."""
import os
import re
import stat
import subprocess

import lib


def refused(env, what, pattern, *args):
    p = env.run([lib.program("hevcast"), "view", *args, "--no-window", "--frames", "2"], 20)
    text = p.err().strip()
    env.check(p.p.returncode == 1 and re.search(pattern, text), f"{what}: refused: {text[:160]}")


def test_self(env):
    share = env.share("test:320x240@20", "--tls", "self", token="right")
    address, pin = re.fullmatch(r"(https://127\.0\.0\.1:\d+/right)#sha256=([0-9a-f]{64})",
                                share.url).groups()
    lib.wait_until("the fingerprint", lambda: "fingerprint: " in share.err(), 5)
    env.check(pin[:8].upper() == re.search(r"fingerprint: ([0-9A-F:]{95})", share.err())
              .group(1).replace(":", "")[:8], "the fingerprint is printed as browsers show it")
    kept = env.path("state/hevcast/tls-self.pem")
    env.check(stat.S_IMODE(os.stat(kept).st_mode) == 0o600, "the key is private")
    view = [lib.program("hevcast"), "view", "--no-window", "--frames", "5"]
    p = env.run([*view, share.url], 20)
    env.check(p.p.returncode == 0, "the address as printed")
    p = env.run([*view, address, "--tls-pin", pin.upper()], 20)
    env.check(p.p.returncode == 0, "--tls-pin")
    refused(env, "without the fingerprint", "not trusted.*--tls-pin", address)
    wrong = ("0" if pin[0] != "0" else "1") + pin[1:]
    refused(env, "another fingerprint", "another certificate", f"{address}#sha256={wrong}")
    refused(env, "plain http", "this share speaks https", "http" + address[5:])
    share.end()
    again = env.share("test:320x240@20", "--tls", "self", token="right")
    env.check(again.url.endswith(pin), "a share that is started again has the same certificate")
    again.end()


def test_files(env):
    for name in "a", "b":
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                        "-nodes", "-subj", "/CN=x", "-addext", "subjectAltName=IP:127.0.0.1",
                        "-days", "2", "-keyout", env.path(name + ".key"),
                        "-out", env.path(name + ".pem")], check=True, capture_output=True)
    cert, key = env.path("a.pem"), env.path("a.key")
    share = env.share("test:320x240@20", "--tls", f"{cert}:{key}", token="right")
    env.check("#" not in share.url and share.url.startswith("https://"), f"the address: {share.url}")
    p = env.run(["curl", "-sS", "--cacert", cert, "-o", os.devnull, "-w", "%{http_code}",
                 share.url + "/"], 20)
    env.check(p.out() == b"200", f"curl trusts the certificate: {p.out()} {p.err()}")
    share.end()
    for spec, status, pattern in ((f"{cert}:{env.path('b.key')}", 1, "is not the key of"),
                                  (f"{cert}:{env.path('none.key')}", 1, "cannot be read"),
                                  ("nonsense", 2, "CERT.pem:KEY.pem")):
        p = env.run([lib.program("hevcast"), "share", "test", "--listen", "127.0.0.1:0", "--tls", spec], 20)
        env.check(p.p.returncode == status and re.search(pattern, p.err()),
                  f"status {p.p.returncode}: {p.err().strip()[:200]}")


def main():
    lib.need("openssl", "curl")
    with lib.Env("share --tls") as env:
        env.environ["XDG_STATE_HOME"] = env.path("state")
        test_self(env)
        test_files(env)


if __name__ == "__main__":
    main()
