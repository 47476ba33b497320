#!/usr/bin/python3
"""test_page_tls.py chromium: the page over https, with the certificate that `share --tls self` makes.

Chromium is told the certificate's key, as a person would click the warning away; that makes a secure
context, which WebCodecs needs on another machine."""
import base64
import hashlib
import subprocess
import sys

from browser import Browser, lib


def key_hash(certificate):
    """SHA-256 of the public key, as --ignore-certificate-errors-spki-list takes it."""
    pem = subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-pubkey"], check=True,
                         capture_output=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "der"], input=pem, check=True,
                         capture_output=True).stdout
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


def main():
    kind = sys.argv[1]
    lib.need("openssl")
    with lib.Env(f"the page in {kind} over https", time_limit_s=120) as env:
        env.environ["XDG_STATE_HOME"] = env.path("state")
        share = env.share("test:640x360@20", "--tls", "self", token="right")
        env.environ["BROWSER_ARGS"] = ("--ignore-certificate-errors-spki-list="
                                       + key_hash(env.path("state/hevcast/tls-self.pem")))
        web = Browser(env, kind)
        for what in ("cold", "warm"):
            status = web.do("open", url=share.url)
            env.check(status in (200, 304), f"{what}: the page is there (HTTP status {status})")
            ms = web.wait_state("watching")["ms"]
            print(f"     {what}: first picture after {ms:.0f} ms", flush=True)
        env.check(web.do("evaluate", code="return isSecureContext && location.protocol === 'https:'"),
                  "it is a secure context")
        lib.wait_until("pictures are drawn", lambda: web.stats().get("totals", {}).get("drawn", 0) > 5, 20)
        env.check(web.stats()["totals"]["errors"] == 0, "no decoding error")
        web.do("grant")
        web.do("key", key="c")
        lib.wait_until("the link is copied", lambda: web.do(
            "evaluate", code="return document.getElementById('copy').textContent") == "Copied", 5)
        link = web.do("evaluate", code="return navigator.clipboard.readText()")
        env.check(link == share.url, f"the copied link is the printed address: {link}")
        view = env.view(link, "--frames", "3")
        env.check(view.wait(20) == 0, "hevcast view takes it as it is")
        web.close()


if __name__ == "__main__":
    main()
