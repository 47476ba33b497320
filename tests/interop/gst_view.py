#!/usr/bin/python3
"""GStreamer's webrtcbin as a WHEP viewer: decodes HEVC and writes raw I420 pictures.

    gst_view.py URL [--raw FILE|-] [--frames N] [--duration S] [--json FILE]

The offer is recvonly H265 with all candidates in it, POSTed once; the Location is DELETEd at the
end. The jitter buffer's delay is 0 and the decoder runs without frame threads, so it is also the
peer of the latency benchmark, the best this pipeline can do.

--tamper fingerprint   sends another DTLS fingerprint than its own: a good share must not connect.
--tamper codec         offers VP8 alone.
--browser chrome|safari  offers what that browser was recorded to offer (tests/data/signal): its payload types, RTX,
                         header extensions, H265 parameters, other codecs and media; the connection is webrtcbin's own.
Exit status: 0 done, 1 no picture or no connection, 3 refused by the server (the status and the
reason are printed and in the JSON), 77 GStreamer is missing.
"""
import argparse
import json
import os
import re
import signal
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import gst_webrtc as gw
from gst_webrtc import Gst, GstVideo, GstWebRTC

CAPS = {
    "codec": "application/x-rtp,media=video,encoding-name=VP8,payload=96,clock-rate=90000",
    None: "application/x-rtp,media=video,encoding-name=H265,payload=96,clock-rate=90000,"
          "rtcp-fb-nack-pli=true,rtcp-fb-nack=true,rtcp-fb-ccm-fir=true",
}


RECORDED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "signal")


class Browser:
    """A recorded offer of a browser in the place of webrtcbin's, and the answer to it as one to webrtcbin."""

    def __init__(self, name):
        with open(os.path.join(RECORDED, f"{name}.sdp"), encoding="utf-8") as f:
            self.recorded = f.read().replace("\r", "").strip().split("\n")
        text = "\n".join(self.recorded)
        self.payload = re.search(r"a=rtpmap:(\d+) H265/90000", text).group(1)
        self.mid = re.search(r"a=mid:(\S+)", text).group(1)
        # Who offers transport-wide feedback has to send it, or is taken for a path that loses everything.
        ident, name = re.search(r"a=extmap:(\d+) (\S+transport-wide-cc\S+)", text).groups()
        self.feedback = f",extmap-{ident}=(string){name},rtcp-fb-transport-cc=true"

    def offer(self, own):
        """own: webrtcbin's offer."""
        mine = {k: re.search(rf"a={k}:\S.*", own).group(0).strip() for k in ("ice-ufrag", "ice-pwd", "fingerprint")}
        self.own_mid = re.search(r"a=mid:(\S+)", own).group(1)
        lines = []
        for line in self.recorded:
            key = line[2:].split(":")[0]
            lines.append(mine.get(key, line))
            if key == "mid" and line.endswith(f":{self.mid}"):
                lines += re.findall(r"a=candidate:.*udp.*[^\s]", own, re.IGNORECASE)
        return "\r\n".join(lines) + "\r\n"

    def answer(self, text):
        session, video = text.split("\r\nm=")[:2]
        session = re.sub("a=group:BUNDLE .*", f"a=group:BUNDLE {self.own_mid}\r", session)
        return f"{session}\r\nm={video}".strip().replace(f"a=mid:{self.mid}", f"a=mid:{self.own_mid}") + "\r\n"


class Refused(Exception):
    def __init__(self, status, body):
        super().__init__(f"HTTP {status}: {body}")
        self.status, self.body = status, body


class Viewer:
    def __init__(self, url, sink, frames=0, tamper=None, browser=None):
        self.browser = Browser(browser) if browser else None
        self.url, self.frames_wanted, self.tamper = url, frames, tamper
        self.resource = None
        self.started = time.monotonic()
        self.first_frame_s = None
        self.frames = 0
        self.frames_then = self.undecoded = 0  # at the last look of ask_for_key_frame
        self.size = None
        self.error = None
        self.done = threading.Event()
        self.pipe = Gst.Pipeline()
        self.webrtc = Gst.ElementFactory.make("webrtcbin")
        self.webrtc.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
        self.webrtc.set_property("latency", 0)
        self.pipe.add(self.webrtc)
        self.sink_desc = sink
        self.webrtc.connect("pad-added", self.on_pad)
        bus = self.pipe.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", self.on_error)

    def on_error(self, _bus, msg):
        err, debug = msg.parse_error()
        self.error = f"{err.message} ({debug})"
        self.done.set()

    def on_pad(self, _webrtc, pad):
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        chain = Gst.parse_bin_from_description(
            "rtph265depay name=depay ! h265parse ! "
            "avdec_h265 name=dec thread-type=slice output-corrupt=false "
            "automatic-request-sync-points=true discard-corrupted-frames=true ! "
            "video/x-raw,format=I420 ! " + self.sink_desc, True)
        self.pipe.add(chain)
        chain.get_by_name("out").get_static_pad("sink").add_probe(
            Gst.PadProbeType.BUFFER, self.on_frame)
        chain.get_by_name("depay").get_static_pad("src").add_probe(
            Gst.PadProbeType.BUFFER, self.on_access_unit)
        chain.sync_state_with_parent()
        pad.link(chain.get_static_pad("sink"))
        self.source_pad = pad
        gw.GLib.timeout_add(500, self.ask_for_key_frame)

    def on_access_unit(self, _pad, _info):
        self.undecoded += 1
        return Gst.PadProbeReturn.OK

    def ask_for_key_frame(self):
        """A PLI every half second while data comes and nothing is decoded: 1.22's depayloader asks
        for none, and its decoder once at most."""
        undecoded, self.undecoded = self.undecoded, 0
        if self.frames > self.frames_then or (self.frames and undecoded == 0):
            self.frames_then = self.frames
            return not self.done.is_set()
        gw.log("PLI")
        self.source_pad.send_event(GstVideo.video_event_new_upstream_force_key_unit(
            Gst.CLOCK_TIME_NONE, True, 0))
        return True

    def on_frame(self, pad, _info):
        if self.frames_wanted and self.frames >= self.frames_wanted:
            self.done.set()
            return Gst.PadProbeReturn.DROP
        if not self.frames:
            self.first_frame_s = time.monotonic() - self.started
            s = pad.get_current_caps().get_structure(0)
            self.size = [s.get_value("width"), s.get_value("height")]
            gw.log("first picture", self.size)
        self.frames += 1
        return Gst.PadProbeReturn.OK

    def start(self):
        self.pipe.set_state(Gst.State.PLAYING)
        gw.add_loopback(self.webrtc)
        caps = Gst.Caps.from_string(CAPS["codec" if self.tamper == "codec" else None])
        if self.browser:
            caps = Gst.Caps.from_string(CAPS[None].replace("payload=96", f"payload={self.browser.payload}") + self.browser.feedback)
        transceiver = self.webrtc.emit("add-transceiver", GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY, caps)
        if self.browser:
            transceiver.set_property("do-nack", True)
        gw.set_description(self.webrtc, "local", "offer", gw.create(self.webrtc, "offer"))
        offer = gw.gathered_local(self.webrtc)
        if self.tamper == "fingerprint":
            offer = gw.tamper_fingerprint(offer)
        if self.browser:
            offer = self.browser.offer(offer)
        gw.log(offer)
        request = urllib.request.Request(self.url, offer.encode(), method="POST", headers={
            "Content-Type": "application/sdp", "Accept": "application/sdp"})
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:
                if reply.status != 201:
                    raise Refused(reply.status, "201 was expected")
                answer = reply.read().decode()
                if not reply.headers["Location"]:
                    raise Refused(reply.status, "no Location")
                self.resource = urllib.parse.urljoin(self.url, reply.headers["Location"])
        except urllib.error.HTTPError as e:
            raise Refused(e.code, e.read().decode(errors="replace").strip()) from None
        gw.log(answer)
        if self.browser:
            answer = self.browser.answer(answer)
        gw.set_description(self.webrtc, "remote", "answer", answer)

    def stop(self):
        if self.resource:
            try:
                urllib.request.urlopen(
                    urllib.request.Request(self.resource, method="DELETE"), timeout=3).close()
            except OSError:
                pass  # the server is gone already
        self.pipe.set_state(Gst.State.NULL)

    def summary(self):
        return {"frames": self.frames, "size": self.size, "first_frame_s": self.first_frame_s,
                "connection": gw.connection_state(self.webrtc), "error": self.error,
                "location": self.resource}


def main():
    ap = argparse.ArgumentParser(description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("url")
    ap.add_argument("--raw")
    ap.add_argument("--frames", type=int, default=0)
    ap.add_argument("--duration", type=float, default=0)
    ap.add_argument("--json")
    ap.add_argument("--tamper", choices=("fingerprint", "codec"))
    ap.add_argument("--browser", choices=("chrome", "safari"))
    a = ap.parse_args()
    gw.require()

    sink = "fakesink name=out sync=false"
    if a.raw:
        fd = os.dup(1) if a.raw == "-" else os.open(
            a.raw, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        sink = f"fdsink name=out fd={fd} sync=false"
    loop = gw.Loop()
    viewer = Viewer(a.url, sink, a.frames, a.tamper, a.browser)
    for sig in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sig, lambda *_: viewer.done.set())
    status, refused = 0, None
    try:
        viewer.start()
        end = time.monotonic() + a.duration if a.duration else None
        # In slices: a wait without an end would keep Python from running its signal handlers.
        while not viewer.done.wait(0.1):
            if end and time.monotonic() >= end:
                break
    except Refused as e:
        status, refused = 3, {"status": e.status, "body": e.body}
        print(f"gst_view: {e}", file=sys.stderr)
    summary = viewer.summary()
    summary["refused"] = refused
    viewer.stop()
    loop.stop()
    if viewer.error:
        print(f"gst_view: {viewer.error}", file=sys.stderr)
    if not status and (viewer.error or not viewer.frames):
        status = 1
    if a.json:
        with open(a.json, "w") as f:
            json.dump(summary, f)
    print("gst_view: " + json.dumps(summary), file=sys.stderr)
    sys.stdout.flush()
    os._exit(status)  # webrtcbin's threads may outlive the loop


if __name__ == "__main__":
    main()
