#!/usr/bin/python3
"""GStreamer's webrtcbin as a sender of HEVC behind a minimal WHEP endpoint.

    gst_whep_server.py SOURCE [--size WxH] [--fps N] [--bitrate KBPS] [--port N] [--events FILE]

SOURCE: x11 (ximagesrc of $DISPLAY), test (videotestsrc's bars), or a raw BGRX file of --size,
shown for ever. POST of an offer gives 201, the answer, and a Location; DELETE ends the session.
It prints its URL on the first line of standard output and ends on SIGTERM.

x265enc runs ultrafast and zerolatency; parameter sets come in-band with every IRAP; a PLI gives an
IDR (webrtcbin turns it into a force-key-unit event). The settings of the x11 source are the best
found for this pipeline: it is the peer of the latency benchmark.

--mangle SPEC treats packets badly before they are encrypted, so that a receiver's depacketizer
sees what a broken or hostile sender could produce. SPEC is a list like truncate:10,drop:20,
reorder:20,garbage:5, in packets of a thousand. Its first 300 packets pass. (Doubled ones would
not: libsrtp refuses to send a sequence number twice.)
--tamper-fingerprint: the answer names another DTLS fingerprint than the certificate's; a viewer that
checks must not connect. (1.22's webrtcbin itself does not check, so two of them would connect.)
--events FILE: a JSON line for each of listening, posted, connected, keyframe-request, closed.
"""
import argparse
import http.server
import json
import os
import random
import re
import secrets
import signal
import sys
import threading
import time

import gst_webrtc as gw
from gst_webrtc import Gst, GstVideo, GstWebRTC


class BadOffer(Exception):
    pass


def h265_payload_type(offer):
    m = re.search(r"a=rtpmap:(\d+) H265/90000", offer, re.IGNORECASE)
    if not m:
        raise BadOffer("the offer has no H265")
    return int(m.group(1))


def source_description(a):
    w, h = a.size
    raw = f"video/x-raw,framerate={a.fps}/1"
    yuv = f"video/x-raw,format=I420,colorimetry=bt709,width={w},height={h}"
    if a.source == "x11":
        return f"ximagesrc use-damage=0 show-pointer=0 ! {raw} ! videoconvert n-threads=2 ! " \
               "video/x-raw,format=I420,colorimetry=bt709"
    if a.source == "test":
        return f"videotestsrc is-live=true pattern=smpte100 ! {raw},width={w},height={h} ! " \
               f"videoconvert ! {yuv}"
    return f"filesrc location={a.source} ! rawvideoparse format=bgrx width={w} height={h} ! " \
           f"imagefreeze is-live=true ! {raw} ! videoconvert ! {yuv}"


def request_key_frame(encoder):
    encoder.get_static_pad("src").send_event(
        GstVideo.video_event_new_upstream_force_key_unit(Gst.CLOCK_TIME_NONE, True, 0))


class Mangler:
    """Between payloader and webrtcbin: an appsink and an appsrc with bad manners in between.

    Buffers are stamped anew: x265enc's begin at 1000 hours, relative to a segment that is lost."""

    def __init__(self, spec, pipe, seed=1):
        self.rates = {k: int(v) for k, v in (part.split(":") for part in spec.split(","))}
        unknown = set(self.rates) - {"truncate", "drop", "reorder", "garbage"}
        if unknown:
            raise ValueError(f"--mangle: unknown: {unknown}")
        self.random = random.Random(seed)
        self.held = None
        self.count = 0
        self.src = pipe.get_by_name("mangled")
        self.encoder = pipe.get_by_name("enc")
        pipe.get_by_name("clean").connect("new-sample", self.on_sample)
        self.src.get_static_pad("src").add_probe(Gst.PadProbeType.EVENT_UPSTREAM, self.on_event)

    def on_event(self, _pad, info):
        """A PLI ends here, at the appsrc, unless it is carried over the gap."""
        s = info.get_event().get_structure()
        if s and s.get_name() == "GstForceKeyUnit":
            request_key_frame(self.encoder)
        return Gst.PadProbeReturn.OK

    def on_sample(self, sink):
        buf = sink.emit("pull-sample").get_buffer()
        data = bytearray(buf.extract_dup(0, buf.get_size()))
        self.count += 1
        held, self.held = self.held, None
        for packet in self.mangle(data):
            self.src.emit("push-buffer", Gst.Buffer.new_wrapped(bytes(packet)))
        if held is not None:
            self.src.emit("push-buffer", held)
        return Gst.FlowReturn.OK

    def mangle(self, data):
        if self.count <= 300:
            return [data]
        dice = self.random.randrange(1000)
        for what, rate in self.rates.items():
            if dice >= rate:
                dice -= rate
                continue
            if what == "truncate":  # the RTP header stays, 0 to 20 bytes of the payload too
                return [data[:12 + self.random.randrange(21)]]
            if what == "drop":
                return []
            if what == "reorder":
                self.held = Gst.Buffer.new_wrapped(bytes(data))
                return []
            for i in range(12, min(len(data), 40)):
                data[i] = self.random.randrange(256)
            return [data]
        return [data]


class Session:
    def __init__(self, server, offer):
        a = server.args
        self.server, self.id = server, secrets.token_hex(16)
        self.closed = False
        pt = h265_payload_type(offer)
        rtp = f"application/x-rtp,media=video,encoding-name=H265,clock-rate=90000,payload={pt}"
        ssrc = secrets.randbits(31)  # webrtcbin takes PLIs only for the SSRC in its pad's caps
        mangler = f"appsink name=clean emit-signals=true sync=false max-buffers=0 " \
                  f"appsrc name=mangled is-live=true format=time do-timestamp=true caps={rtp},ssrc=(uint){ssrc} ! " \
            if a.mangle else ""
        self.pipe = Gst.parse_launch(
            f"{source_description(a)} ! "
            f"x265enc name=enc speed-preset=ultrafast tune=zerolatency bitrate={a.bitrate} "
            f"key-int-max=100000 ! h265parse config-interval=-1 ! "
            f"rtph265pay name=pay pt={pt} ssrc={ssrc} mtu=1200 config-interval=-1 aggregate-mode=none ! {rtp} ! "
            f"{mangler} webrtcbin name=web bundle-policy=max-bundle latency=0")
        if a.mangle:
            self.mangler = Mangler(a.mangle, self.pipe)
        self.webrtc = self.pipe.get_by_name("web")
        self.webrtc.connect("notify::connection-state", self.on_state)
        self.pipe.get_by_name("enc").get_static_pad("src").add_probe(
            Gst.PadProbeType.EVENT_UPSTREAM, self.on_event)
        bus = self.pipe.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", self.on_error)
        # PLAYING first: webrtcbin refuses descriptions before its threads run; READY is too early
        # and the encoder's caps have to be there for the answer.
        self.pipe.set_state(Gst.State.PLAYING)
        gw.add_loopback(self.webrtc)
        gw.set_description(self.webrtc, "remote", "offer", offer)
        transceiver = self.webrtc.emit("get-transceiver", 0)
        transceiver.set_property("direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)
        transceiver.set_property("do-nack", True)
        gw.set_description(self.webrtc, "local", "answer", gw.create(self.webrtc, "answer"))
        self.answer = gw.gathered_local(self.webrtc)
        if a.tamper_fingerprint:
            self.answer = gw.tamper_fingerprint(self.answer)
        gw.log(self.answer)

    def on_error(self, _bus, msg):
        print(f"gst_whep_server: {msg.parse_error()}", file=sys.stderr)
        self.close("error")

    def on_event(self, _pad, info):
        s = info.get_event().get_structure()
        if s and s.get_name() == "GstForceKeyUnit":
            self.server.event("keyframe-request", id=self.id)
        return Gst.PadProbeReturn.OK

    def on_state(self, *_):
        state = gw.connection_state(self.webrtc)
        if state == "connected":
            self.server.event("connected", id=self.id)
            # The pictures before this moment went nowhere.
            request_key_frame(self.pipe.get_by_name("enc"))
        elif state in ("failed", "closed", "disconnected"):
            threading.Thread(target=self.close, args=(state,), daemon=True).start()

    def close(self, reason):
        if not self.closed:
            self.closed = True
            self.pipe.set_state(Gst.State.NULL)
            self.server.sessions.pop(self.id, None)
            self.server.event("closed", id=self.id, reason=reason)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def reply(self, status, body="", **headers):
        data = body.encode()
        self.send_response(status)
        for k, v in headers.items():
            self.send_header(k.replace("_", "-"), v)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self):
        offer = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        if self.path != "/whep" or self.headers.get_content_type() != "application/sdp":
            self.reply(404, "no such endpoint\n")
            return
        gw.log(offer)
        server = self.server.peer
        try:
            server.event("posted")
            session = Session(server, offer)
        except (BadOffer, RuntimeError) as e:
            self.reply(406, f"{e}\n")
            return
        server.sessions[session.id] = session
        self.reply(201, session.answer, Content_Type="application/sdp",
                   Location=f"/whep/{session.id}", ETag=f'"{session.id[:8]}"')

    def do_DELETE(self):
        session = self.server.peer.sessions.get(self.path.rsplit("/", 1)[-1])
        if not session:
            self.reply(404, "no such session\n")
            return
        session.close("deleted")
        self.reply(200)

    def do_PATCH(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.reply(405, "this endpoint does not trickle\n")

    def log_message(self, *words):
        gw.log("http", *words)


class Server:
    def __init__(self, args):
        self.args, self.sessions = args, {}
        self.events = open(args.events, "w", buffering=1) if args.events else None
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", args.port), Handler)
        self.http.daemon_threads = True
        self.http.peer = self
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/whep"
        self.event("listening", url=self.url)

    def event(self, name, **fields):
        gw.log(name, fields)
        if self.events:
            self.events.write(json.dumps({"event": name, "t": time.monotonic(), **fields}) + "\n")


def size(text):
    w, h = text.split("x")
    return int(w), int(h)


def main():
    ap = argparse.ArgumentParser(description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("source")
    ap.add_argument("--size", type=size, default=(1280, 720))
    ap.add_argument("--fps", type=int, default=30)
    ap.add_argument("--bitrate", type=int, default=8000)
    ap.add_argument("--port", type=int, default=0)
    ap.add_argument("--mangle")
    ap.add_argument("--tamper-fingerprint", action="store_true")
    ap.add_argument("--events")
    a = ap.parse_args()
    gw.require("ximagesrc")
    loop = gw.Loop()
    server = Server(a)
    stop = threading.Event()
    for sig in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sig, lambda *_: stop.set())
    threading.Thread(target=server.http.serve_forever, daemon=True).start()
    print(server.url, flush=True)
    while not stop.wait(0.1):
        pass
    for session in list(server.sessions.values()):
        session.close("the server ends")
    loop.stop()
    os._exit(0)


if __name__ == "__main__":
    main()
