#!/usr/bin/python3
"""The peer of browser_latency.py: GStreamer's webrtcbin plays a film (browser_film.py) to a <video> in a page.

    browser_peer.py FILM.h264|FILM.ivf FPS [--page DIR]

Standard output: the address of the page, then for each picture "INDEX UNIX_TIME_IN_US", when it was given to the payloader. The
film begins again at its end and when the browser asks for a key frame, as with tests/bench/playback.c. --page: the page in this
directory (web/) in the place of a plain one."""
import argparse
import os
import re
import secrets
import signal
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "interop"))
import gst_webrtc as gw  # noqa: E402
import gst_whep_server  # noqa: E402
import browser_film  # noqa: E402
from gst_webrtc import Gst, GstWebRTC  # noqa: E402

PAGE = b"""<!DOCTYPE html><meta charset="utf-8"><style>body{margin:0;overflow:hidden;background:#000}video{display:block;width:100vw}</style>
<video id="video" muted autoplay playsinline></video><script type="module">
const pc = new RTCPeerConnection({bundlePolicy: 'max-bundle'}), video = document.getElementById('video');
const t = pc.addTransceiver('video', {direction: 'recvonly'});
if ('jitterBufferTarget' in t.receiver) t.receiver.jitterBufferTarget = 0;
if ('playoutDelayHint' in t.receiver) t.receiver.playoutDelayHint = 0;
pc.ontrack = (e) => { video.srcObject = e.streams[0] ?? new MediaStream([e.track]); };
video.onplaying = () => { document.body.dataset.state = 'watching'; performance.mark('first-picture'); };
await pc.setLocalDescription(await pc.createOffer());
await new Promise((r) => { pc.onicegatheringstatechange = () => pc.iceGatheringState === 'complete' && r(); setTimeout(r, 1000); });
const answer = await fetch('whep', {method: 'POST', headers: {'Content-Type': 'application/sdp'}, body: pc.localDescription.sdp});
await pc.setRemoteDescription({type: 'answer', sdp: await answer.text()});
window.pc = pc;
</script>"""

CAPS = {"h264": "video/x-h264,stream-format=byte-stream,alignment=au", "ivf": "video/x-vp8"}
PAYLOADERS = {"h264": "h264parse config-interval=-1 ! video/x-h264,stream-format=byte-stream,alignment=au ! "
                      "rtph264pay name=pay config-interval=-1 aggregate-mode=none",
              "ivf": "rtpvp8pay name=pay"}


def payload_type(kind, offer):
    if kind == "ivf":
        found = re.findall(r"a=rtpmap:(\d+) VP8/90000", offer)
    else:
        found = [pt for pt in re.findall(r"a=rtpmap:(\d+) H264/90000", offer)
                 if re.search(rf"a=fmtp:{pt} .*packetization-mode=1;profile-level-id=42", offer)]
    if not found:
        raise gst_whep_server.BadOffer(f"the offer has no codec for {kind}")
    return int(found[0])


class FilmSession:
    def __init__(self, server, offer):
        a = server.args
        self.server, self.id, self.closed = server, secrets.token_hex(16), False
        kind = a.film.rsplit(".", 1)[1]
        name = {"h264": "H264", "ivf": "VP8"}[kind]
        pt, ssrc = payload_type(kind, offer), secrets.randbits(31)
        self.rewind = threading.Event()
        self.pipe = Gst.parse_launch(
            f"appsrc name=film is-live=true format=time do-timestamp=true caps={CAPS[kind]},framerate={a.fps}/1,width=1920,height=1080 ! "
            f"{PAYLOADERS[kind]} pt={pt} ssrc={ssrc} mtu=1200 ! "
            f"application/x-rtp,media=video,encoding-name={name},clock-rate=90000,payload={pt} ! "
            f"webrtcbin name=web bundle-policy=max-bundle latency=0")
        self.film = self.pipe.get_by_name("film")
        self.film.get_static_pad("src").add_probe(Gst.PadProbeType.EVENT_UPSTREAM, self.on_event)
        self.webrtc = self.pipe.get_by_name("web")
        self.pictures = browser_film.split(a.film)
        self.pipe.set_state(Gst.State.PLAYING)
        gw.add_loopback(self.webrtc)
        self.film.emit("push-buffer", Gst.Buffer.new_wrapped(self.pictures[0]))  # the answer needs its caps
        gw.set_description(self.webrtc, "remote", "offer", offer)
        transceiver = self.webrtc.emit("get-transceiver", 0)
        transceiver.set_property("direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)
        transceiver.set_property("do-nack", True)
        gw.set_description(self.webrtc, "local", "answer", gw.create(self.webrtc, "answer"))
        self.answer = gw.gathered_local(self.webrtc)
        threading.Thread(target=self.play, daemon=True).start()

    def on_event(self, _pad, info):
        s = info.get_event().get_structure()
        if s and s.get_name() == "GstForceKeyUnit":
            self.rewind.set()
        return Gst.PadProbeReturn.OK

    def play(self):
        while gw.connection_state(self.webrtc) != "connected" and not self.closed:
            time.sleep(0.02)
        due, at = time.monotonic(), 0
        while not self.closed:
            time.sleep(max(0, due - time.monotonic()))
            if at == len(self.pictures) or self.rewind.is_set():
                self.rewind.clear()
                at = 0
            t = time.time()
            self.film.emit("push-buffer", Gst.Buffer.new_wrapped(self.pictures[at]))
            sys.stdout.write(f"{at} {int(t * 1e6)}\n")
            sys.stdout.flush()
            at += 1
            due += 1 / self.server.args.fps

    def close(self, _reason):
        if not self.closed:
            self.closed = True
            self.pipe.set_state(Gst.State.NULL)
            self.server.sessions.pop(self.id, None)


TYPES = {"html": "text/html; charset=utf-8", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}


class Handler(gst_whep_server.Handler):
    def do_GET(self):
        page = self.server.peer.args.page
        path = self.path.split("?")[0]
        name = re.fullmatch(r"/(static/[a-z]+\.(js|css|svg))?", path)
        if page and name:
            with open(os.path.join(page, name.group(1) or "index.html"), encoding="utf-8") as f:
                self.reply(200, f.read(), Content_Type=TYPES[name.group(2) or "html"])
            return
        if path != "/":
            self.reply(404, "no such page\n")
            return
        self.reply(200, PAGE.decode(), Content_Type="text/html; charset=utf-8")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("film")
    ap.add_argument("fps", type=int)
    ap.add_argument("--page")
    a = ap.parse_args()
    a.port, a.events = 0, None
    gw.require("appsrc", "rtph264pay", "rtpvp8pay", "h264parse")
    loop = gw.Loop()
    gst_whep_server.Session = FilmSession
    server = gst_whep_server.Server(a)
    server.http.RequestHandlerClass = Handler
    stop = threading.Event()
    for sig in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sig, lambda *_: stop.set())
    threading.Thread(target=server.http.serve_forever, daemon=True).start()
    print(server.url[:-len("whep")], flush=True)
    stop.wait()
    loop.stop()
    os._exit(0)


if __name__ == "__main__":
    main()
