#!/usr/bin/python3
"""What a share answers to bad HTTP and bad offers, and that it goes on serving afterwards.

Garbage, another codec alone, missing parts, too much of everything, wrong tokens and methods: a 4xx with a
sentence, never a crash. More viewers than --max-viewers: 503. A DTLS fingerprint that does not fit
the certificate: never connected, on either side. A viewer that never connects is dropped.
"""
import json
import random
import re
import socket
import time
import urllib.error
import urllib.parse
import urllib.request

import lib

OFFER = """v=0
o=- 4611731400430051336 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
a=msid-semantic: WMS
m=video 9 UDP/TLS/RTP/SAVPF 96 49 50
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=ice-ufrag:4ZcD
a=ice-pwd:2/1muCWoOi3uLifh0NuRHlgt
a=ice-options:trickle
a=fingerprint:sha-256 7B:8B:F0:65:5F:78:E2:51:3B:AC:6F:F3:3F:46:1B:35:DC:B8:5F:64:1A:24:C2:43:F0:A1:58:D0:A1:2C:19:08
a=setup:actpass
a=mid:0
a=recvonly
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:96 VP8/90000
a=rtcp-fb:96 nack pli
a=rtpmap:49 H265/90000
a=rtcp-fb:49 ccm fir
a=rtcp-fb:49 nack
a=rtcp-fb:49 nack pli
a=fmtp:49 level-id=180;profile-id=1;tier-flag=0;tx-mode=SRST
a=rtpmap:50 rtx/90000
a=fmtp:50 apt=49
""".replace("\n", "\r\n")


def http(method, url, body=None, content_type="application/sdp", **headers):
    """(status, headers, text)"""
    h = {k.replace("_", "-"): v for k, v in headers.items()}
    if body is not None and content_type:
        h["Content-Type"] = content_type
    data = body.encode() if isinstance(body, str) else body
    request = urllib.request.Request(url, data, h, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as r:
            return r.status, r.headers, r.read().decode(errors="replace")
    except urllib.error.HTTPError as e:
        return e.code, e.headers, e.read().decode(errors="replace")


def without(prefix):
    return "".join(line + "\r\n" for line in OFFER.split("\r\n")[:-1]
                   if not line.startswith(prefix))


def refused(env, what, url, body, low=400, high=499, pattern="", **kw):
    status, _, text = http("POST", url, body, **kw)
    env.check(low <= status <= high and len(text.strip()) > 5 and
              re.search(pattern, text, re.IGNORECASE),
              f"{what}: {status} {text.strip()[:120]!r}")


def bad_bodies(env, url):
    rng = random.Random(7)
    vp8 = without("a=rtpmap:49").replace(" 96 49 50", " 96").replace("a=rtpmap:50", "a=x-unused")
    for line in ("a=rtcp-fb:49", "a=fmtp:49", "a=fmtp:50"):
        vp8 = "".join(x + "\r\n" for x in vp8.split("\r\n")[:-1] if not x.startswith(line))
    refused(env, "an offer without HEVC", url, vp8, pattern="H\\.?265|HEVC")
    refused(env, "HEVC of a wrong profile", url, OFFER.replace("profile-id=1", "profile-id=99"))
    refused(env, "an empty offer", url, "")
    refused(env, "words", url, "hello, this is no offer")
    refused(env, "binary", url, bytes(rng.randrange(256) for _ in range(3000)))
    refused(env, "zeros", url, bytes(2000))
    refused(env, "no fingerprint", url, without("a=fingerprint"))
    refused(env, "no ICE", url, without("a=ice-"))
    refused(env, "no media", url, OFFER[:OFFER.index("m=")])
    refused(env, "audio alone", url, OFFER.replace("m=video", "m=audio"))
    refused(env, "sendonly", url, OFFER.replace("recvonly", "sendonly"))
    refused(env, "another type of content", url, OFFER, content_type="text/html")
    refused(env, "JSON", url, json.dumps({"sdp": OFFER}), content_type="application/json")
    answered = 0
    for _ in range(150):  # mutations: any answer but a crash, a hang or a 5xx
        text = bytearray(OFFER.encode())
        for _ in range(rng.randrange(1, 6)):
            what, at = rng.randrange(4), rng.randrange(len(text))
            if what == 0:
                text[at] = rng.randrange(256)
            elif what == 1:
                del text[at:at + rng.randrange(60)]
            elif what == 2:
                text[at:at] = text[at:at + rng.randrange(200)]
            else:
                del text[at:]
            text = text or bytearray(b"v")
        status, headers, _ = http("POST", url, bytes(text))
        if status != 503 and (status >= 500 or status < 200):
            env.check(False, f"a mutated offer gives {status}: {bytes(text)!r}")
        answered += 1
        if status == 201:
            http("DELETE", urllib.parse.urljoin(url, headers["Location"]))
    env.check(True, f"{answered} mutated offers are answered")


def too_much(env, url):
    parts = urllib.parse.urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as s:
        s.sendall(f"POST {parts.path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/sdp\r\n"
                  "Content-Length: 50000000\r\n\r\n".encode())
        sent, reply = 0, b""
        try:
            while sent < 50000000:
                sent += s.send(b"a" * 65536)
        except OSError:
            pass
        try:
            reply = s.recv(100)
        except OSError:
            pass
    env.check(sent < 20000000, f"a body of 50 MB is cut off after {sent} bytes: {reply[:30]}")


def wrong_places(env, url):
    base = url.rsplit("/", 1)[0]
    for what, method, where in (("a wrong token", "POST", base + "/wrong"),
                                ("no token", "POST", base + "/"),
                                ("half a token", "POST", url[:-2]),
                                ("an unknown session", "DELETE", url + "/whep/" + "0" * 32),
                                ("a path outside", "GET", base + "/../../etc/passwd"),
                                ("GET of a wrong token", "GET", base + "/wrong")):
        status, _, _ = http(method, where, OFFER if method == "POST" else None)
        env.check(status == 404, f"{what}: {status}")
    status, _, _ = http("PATCH", url + "/whep/" + "0" * 32, "a=end-of-candidates\r\n",
                        If_Match='"x"', content_type="application/trickle-ice-sdpfrag")
    env.check(status == 404, f"PATCH of an unknown session: {status}")
    status, _, _ = http("PUT", url, OFFER)
    env.check(status in (404, 405, 501), f"PUT: {status}")
    status, headers, _ = http("OPTIONS", url, Origin="http://example.org",
                              Access_Control_Request_Method="POST")
    env.check(status in (200, 204) and headers["Access-Control-Allow-Origin"],
              f"OPTIONS for a page elsewhere: {status}")


def restarts(env, resource, etag, fragment, answer):
    """RFC 9725 section 4.3.2: If-Match: * restarts ICE; the answer has new credentials and a new tag."""
    def patch(body, **kw):
        return http("PATCH", resource, body, **{"content_type": "application/trickle-ice-sdpfrag", **kw})

    status, _, text = patch(fragment.replace("a=ice-", "a=x-"), If_Match="*")
    env.check(status == 400 and "ice-ufrag" in text, f"a restart without credentials: {status} {text!r}")
    status, _, _ = patch(fragment)
    env.check(status == 428, f"PATCH without If-Match: {status}")
    status, _, _ = patch(fragment, If_Match="*", content_type="application/sdp")
    env.check(status == 415, f"a restart of another type: {status}")
    seen = [re.search("a=ice-ufrag:(.*)\r", answer).group(1)]
    for n in range(3):
        mine = fragment.replace("4ZcD", f"new{n}")
        status, headers, text = patch(mine, If_Match="*")
        ufrag = re.search("a=ice-ufrag:(.*)\r", text)
        env.check(status == 200 and ufrag and ufrag.group(1) not in seen and "a=candidate:" in text
                  and "a=ice-pwd:" in text and "a=end-of-candidates" in text
                  and headers["Content-Type"].startswith("application/trickle-ice-sdpfrag"),
                  f"restart {n + 1}: {status}, new credentials, {text.count('a=candidate:')} candidates")
        seen.append(ufrag.group(1))
        env.check(headers["ETag"] and headers["ETag"] != etag, f"and a new tag: {headers['ETag']}")
        status, _, _ = patch(mine, If_Match=etag)
        env.check(status == 412, f"trickle with the tag of before: {status}")
        etag = headers["ETag"]
        status, _, _ = patch(mine, If_Match=etag)
        env.check(status == 204, f"with the new one: {status}")


def whep_resource(env, share, url):
    """A good offer, trickle, restart and the end, and a viewer that never connects."""
    for path in (url, url + "/whep"):
        status, headers, answer = http("POST", path, OFFER)
        env.check(status == 201 and "H265/90000" in answer and "a=sendonly" in answer,
                  f"a good offer is answered: {status}")
        env.check(headers["Content-Type"].startswith("application/sdp") and headers["ETag"] and
                  "/whep/" in headers["Location"] and
                  len(headers["Location"].rsplit("/", 1)[1]) >= 22,
                  f"Location {headers['Location']}, ETag {headers['ETag']}")
        resource = urllib.parse.urljoin(path, headers["Location"])
        fragment = "a=ice-ufrag:4ZcD\r\na=ice-pwd:2/1muCWoOi3uLifh0NuRHlgt\r\nm=video 9 RTP/AVP 0\r\n" \
                   "a=mid:0\r\na=candidate:1 1 UDP 2122 127.0.0.1 9 typ host\r\n"
        status, _, text = http("PATCH", resource, fragment, If_Match=headers["ETag"],
                               content_type="application/trickle-ice-sdpfrag")
        env.check(status == 204, f"trickle: {status} {text[:80]!r}")
        status, _, _ = http("PATCH", resource, fragment, If_Match='"another"',
                            content_type="application/trickle-ice-sdpfrag")
        env.check(status in (409, 412), f"trickle with another tag: {status}")
        status, _, _ = http("PATCH", resource, b"\xff\x00nonsense", If_Match=headers["ETag"],
                            content_type="application/trickle-ice-sdpfrag")
        env.check(400 <= status < 500, f"a garbage fragment: {status}")
        restarts(env, resource, headers["ETag"], fragment, answer)
        status, _, _ = http("DELETE", resource)
        env.check(status in (200, 204), f"DELETE: {status}")
        status, _, _ = http("DELETE", resource)
        env.check(status == 404, f"DELETE again: {status}")
    status, headers, _ = http("POST", url, OFFER)
    env.check(status == 201, "an offer of a viewer that will not come")
    return time.monotonic(), len(share.events("viewer-joined"))


def fingerprints(env, share, url):
    connected = len(share.events("connected"))
    bad = env.run([lib.PYTHON, f"{lib.HERE}/gst_view.py", url, "--tamper", "fingerprint",
                   "--duration", "5", "--json", env.path("json")], 30)
    if bad.p.returncode == 77:
        lib.skip(bad.err())
    env.check(bad.p.returncode == 1, f"a viewer with another fingerprint gets no picture: "
                                     f"{bad.p.returncode}")
    env.check(len(share.events("connected")) == connected, "and is never connected")
    good = env.run([lib.PYTHON, f"{lib.HERE}/gst_view.py", url, "--frames", "5", "--duration",
                    "15", "--json", env.path("json")], 30)
    env.check(good.p.returncode == 0, "the same viewer with its own one gets pictures")

    server = env.spawn("gst_whep_server", [lib.PYTHON, f"{lib.HERE}/gst_whep_server.py", "test",
                                           "--size", "320x240", "--tamper-fingerprint"])
    lib.wait_until("the WHEP endpoint listens", lambda: server.out().endswith(b"\n"), 15)
    view = env.view(server.out().decode().strip(), "--duration", "20")
    status = view.wait(25)
    env.check(status == 1 and not view.events("connected") and not view.events("first-picture"),
              f"view refuses a sender with another fingerprint: status {status}")
    env.check("fingerprint" in view.err().lower(), f"and says so: {view.err().strip()[-200:]}")
    server.end()


def too_many(env):
    share = env.share("test:320x240@10", "--max-viewers", "2")
    codes = [http("POST", share.url, OFFER)[0] for _ in range(3)]
    env.check(codes == [201, 201, 503], f"--max-viewers 2: {codes}")
    share.end()


def main():
    with lib.Env("bad offers") as env:
        share = env.share("test:320x240@10", "--max-viewers", "500", token="t0ken-with-enough-random")
        url = share.url
        posted_at, joined = whep_resource(env, share, url)
        bad_bodies(env, url)
        wrong_places(env, url)
        too_much(env, url)
        too_many(env)
        fingerprints(env, share, url)
        view = env.view(url, "--frames", "10")
        env.check(view.wait(20) == 0, "after all that, a good viewer is served")
        lib.wait_until("the viewer that never came is dropped",
                       lambda: share.last_stats()["viewers"] == 0,
                       max(5, 45 - (time.monotonic() - posted_at)), 0.5)
        env.check(True, f"the viewer that never came is dropped ({joined} had joined)")
        env.check(share.rss_kb() < 300000, f"share uses {share.rss_kb() / 1024:.0f} MB")


if __name__ == "__main__":
    main()
