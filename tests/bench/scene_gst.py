#!/usr/bin/python3
"""GStreamer's webrtcbin as a peer of the scenes: the same access units as scene_send's, at a fixed rate.

    scene_gst.py send IP LOG BPS TRACE [KEYS_S]     prints the WHEP address
    scene_gst.py recv URL LOG

As it is in Debian 12 (1.22): rtpgccbwe is not there (it came with gst-plugins-rs), so the rate is what the program
sets, as of one who knows his line: 80 % of the link, 60 to 67 % where packets are lost, which leaves room for
retransmissions. NACK and RTX are on at both ends (do-nack; the answer has a=rtpmap:97 rtx and an FID group); the
receiver's jitter buffer has its default of 200 ms, which is also the time that a retransmission has; it
delays nothing that arrives in order. The logs are those of scene_send and
scene_recv. The receiver asks for a key frame (at most every 200 ms) while references are missing, and shows
nothing meanwhile, as a decoder would.
"""
import os
import random
import re
import signal
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
FPS = 30


class Peer:
    name = "gstreamer"

    def sender(self, env, side, log, start_bps, options):
        import scene_run as run
        argv = ["/usr/bin/python3", __file__, "send", side.ip, log, int(start_bps), run.TRACE, options.get("keys", 0)]
        p = env.spawn("gst-send", side.wrap(argv))
        run.lib.wait_until("gst-send listens", lambda: p.out().endswith(b"\n") or not p.running(), 15)
        if not p.running():
            raise run.lib.Failed(f"gst-send: {p.err()[-400:]}")
        return p, p.out().decode().strip()

    def receiver(self, env, side, url, log, _options):
        return env.spawn("gst-recv", side.wrap(["/usr/bin/python3", __file__, "recv", url, log]))


def now_us():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def read_trace(path):
    with open(path) as f:
        return [(int(a) / 1000, int(b)) for a, b in
                (line.split() for line in f if not line.startswith("#"))]


def parameter_sets():
    """Those of scene_send: from its source, so that there is one copy."""
    with open(os.path.join(HERE, "scene_send.c")) as f:
        body = re.search(r"sets\[\] = \{(.*?)\};", f.read(), re.S).group(1)
    return bytes(int(x, 16) for x in re.findall(r"0x([0-9a-f]{2})", body))


def nal(kind, number, reference, t_us, size):
    head = bytes([kind << 1, 1, 0xAF])
    n = max(size, len(head) + 40)
    tag = f"{number:08x}{reference:08x}{t_us:016x}{n:08x}".encode()
    return b"\0\0\0\1" + (head + tag).ljust(n, b"Z")


def find_tag(data):
    for m in re.finditer(rb"\x00\x00\x01(.)\x01\xaf([0-9a-f]{40})", data, re.S):
        if m.group(1)[0] >> 1 < 32:
            t = m.group(2)
            whole = len(data) - m.start() - 3 == int(t[32:40], 16)
            return int(t[:8], 16), int(t[8:16], 16), int(t[16:32], 16), whole
    return None


class Sender:
    def __init__(self, gw, ip, log, bps, trace, keys_s):
        import gst_whep_server as whep
        self.gw, self.Gst = gw, gw.Gst
        self.log = open(log, "w", buffering=1)
        self.bps, self.trace, self.keys_s = bps, read_trace(trace), keys_s
        self.sets, self.number, self.key_wanted, self.key_us = parameter_sets(), 0, True, 0
        self.sessions, self.args, self.src = {}, None, None
        self.http = whep.http.server.ThreadingHTTPServer((ip, 0), whep.Handler)
        self.http.daemon_threads = True
        self.http.peer = self
        whep.Session = lambda server, offer: self.open(offer)
        self.url = f"http://{ip}:{self.http.server_address[1]}/whep"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def event(self, *_args, **_fields):
        pass

    def open(self, offer):
        gw, Gst = self.gw, self.Gst
        pt = int(re.search(r"a=rtpmap:(\d+) H265/90000", offer).group(1))
        ssrc = random.getrandbits(31)
        rtp = f"application/x-rtp,media=video,encoding-name=H265,clock-rate=90000,payload={pt},ssrc=(uint){ssrc}"
        pipe = Gst.parse_launch(
            "appsrc name=src is-live=true format=time do-timestamp=true max-bytes=0 "
            "caps=video/x-h265,stream-format=byte-stream,alignment=au,width=1920,height=1080 ! "
            f"rtph265pay pt={pt} ssrc={ssrc} mtu=1200 aggregate-mode=none ! {rtp} ! "
            "webrtcbin name=web bundle-policy=max-bundle")
        web = pipe.get_by_name("web")
        self.src = pipe.get_by_name("src")
        self.src.get_static_pad("src").add_probe(Gst.PadProbeType.EVENT_UPSTREAM, self.on_event)
        pipe.set_state(Gst.State.PLAYING)
        gw.set_description(web, "remote", "offer", offer)
        transceiver = web.emit("get-transceiver", 0)
        transceiver.set_property("direction", gw.GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)
        transceiver.set_property("do-nack", True)
        gw.set_description(web, "local", "answer", gw.create(web, "answer"))
        self.pipe, self.web = pipe, web
        web.connect("notify::connection-state", self.on_state)
        self.answer, self.id = gw.gathered_local(web), "one"
        threading.Thread(target=self.run, daemon=True).start()
        return self

    def on_state(self, *_):
        if self.gw.connection_state(self.web) == "connected":
            self.key_wanted = True

    def on_event(self, _pad, info):
        s = info.get_event().get_structure()
        if s and s.get_name() == "GstForceKeyUnit":
            self.log.write(f"key {now_us()}\n")
            self.key_wanted = True
        return self.Gst.PadProbeReturn.OK

    def push(self, i):
        key = self.key_wanted and now_us() - self.key_us > 300000 or self.number == 0
        self.number += 1
        frame = self.bps / 8 / FPS
        if key:
            self.key_wanted, self.key_us = False, now_us()
            reference, size = self.number, (3 if self.keys_s else self.trace[0][0]) * frame
        else:
            ratio, back = self.trace[1 + i % (len(self.trace) - 1)]
            reference, size = self.number - back, 400 if self.keys_s else ratio * frame
        t = now_us()
        data = (self.sets if key else b"") + nal(19 if key else 1, self.number, reference, t, int(size))
        self.log.write(f"push {t} {self.number} {reference} {len(data)}\n")
        self.src.emit("push-buffer", self.Gst.Buffer.new_wrapped(data))

    def run(self):
        while self.gw.connection_state(self.web) != "connected":
            time.sleep(0.01)
        interval = self.keys_s or 1 / FPS
        due, i = time.monotonic(), 0
        while True:
            while (wait := due - time.monotonic()) > 0:
                time.sleep(min(wait, 0.02))
                if self.keys_s and self.key_wanted and now_us() - self.key_us > 300000:
                    self.push(i)
            due += interval
            self.push(i)
            i += 1


class Receiver:
    def __init__(self, gw, url, log):
        import gst_view
        self.gw, self.Gst = gw, gw.Gst
        self.log = open(log, "w", buffering=1)
        self.had, self.asked_us = {}, 0

        class Viewer(gst_view.Viewer):
            def on_pad(viewer, _webrtc, pad):  # instead of decoding
                self.on_pad(pad)

        self.viewer = Viewer(url, "")
        self.viewer.webrtc.set_property("latency", 200)
        self.viewer.webrtc.connect("on-new-transceiver", lambda _w, t: t.set_property("do-nack", True))

    def on_sample(self, sink):
        data = sink.emit("pull-sample").get_buffer()
        data = data.extract_dup(0, data.get_size())
        t, tag = now_us(), find_tag(data)
        if not tag:
            self.ask(t)
            return self.Gst.FlowReturn.OK
        number, reference, sent, whole = tag
        key = number == reference
        good = whole and (key or reference in self.had)
        if good:
            self.had[number] = True
            self.had.pop(number - 300, None)
        else:
            self.ask(t)
        self.log.write(f"au 0 {t} {number} {t - sent} {len(data)} {int(good)} {int(key)}\n")
        return self.Gst.FlowReturn.OK

    def ask(self, t):
        if t - self.asked_us > 200000:
            self.asked_us = t
            self.pad.send_event(self.gw.GstVideo.video_event_new_upstream_force_key_unit(
                self.Gst.CLOCK_TIME_NONE, True, 0))

    def on_pad(self, pad):
        if pad.get_direction() != self.Gst.PadDirection.SRC:
            return
        chain = self.Gst.parse_bin_from_description(
            "rtph265depay ! video/x-h265,stream-format=byte-stream,alignment=au ! "
            "appsink name=out emit-signals=true sync=false max-buffers=0", True)
        self.viewer.pipe.add(chain)
        chain.get_by_name("out").connect("new-sample", self.on_sample)
        chain.sync_state_with_parent()
        self.pad = pad
        pad.link(chain.get_static_pad("sink"))


def main():
    sys.path.insert(0, os.path.join(HERE, "..", "interop"))
    import gst_webrtc as gw
    loop = gw.Loop()
    stop = threading.Event()
    for sig in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sig, lambda *_: stop.set())
    if sys.argv[1] == "send":
        ip, log, bps, trace, keys_s = sys.argv[2:7]
        print(Sender(gw, ip, log, int(bps), trace, float(keys_s)).url, flush=True)
    else:
        Receiver(gw, sys.argv[2], sys.argv[3]).viewer.start()
    while not stop.wait(0.1):
        pass
    loop.stop()
    os._exit(0)


if __name__ == "__main__":
    main()
