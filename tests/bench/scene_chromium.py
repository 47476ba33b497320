"""Chromium as a peer of the scenes: a canvas sent by one headless browser to another, with libwebrtc's own
congestion control, encoding and decoding for real at 720p30.

The canvas is one of a screen with text that scrolls and a window of film: noise that no encoder can predict, enough
for some 20 Mb/s, so that the link and not the content bounds the rate. It is sent as one who shares a screen would:
contentHint "detail", degradationPreference "maintain-resolution", up to 20 Mb/s.

Measured is what is measured of the other peers: encoded pictures, between encoder and decoder. Encoded transforms
(RTCRtpScriptTransform) put a number behind each, and note when it left the encoder and when it was complete at the
other end; it counts as shown when the one before it was. So neither encoding and decoding nor libwebrtc's playout
delay are in its latency: what people saw is told beside it ("presented", by requestVideoFrameCallback; the canvas
carries its number and the time in black and white blocks). Key frame requests and the resolution come from getStats.
"""
import os
import re
import sys
import threading
import time

import scene_run as run
from scene_run import lib

sys.path.insert(0, os.path.join(run.HERE, "..", "browser"))

CODECS = ("H264", "VP9", "VP8")  # the first that both have; VP9 costs too much here where H264 is to be had
COMMON = """
window.BLOCK = 16; window.BITS = 56;
window.wall = () => performance.timeOrigin + performance.now();
window.gathered = (pc) => new Promise((done) => {
  if (pc.iceGatheringState === 'complete') done();
  else pc.addEventListener('icegatheringstatechange', () => pc.iceGatheringState === 'complete' && done());
});
window.rows = [];
window.drain = async () => {
  const stats = {};
  for (const s of (await pc.getStats()).values())
    if ((s.type === 'outbound-rtp' || s.type === 'inbound-rtp') && s.kind === 'video') Object.assign(stats, s);
  return {rows: rows.splice(0), now: wall(), stats};
};
const WORKER = `
const wall = () => performance.timeOrigin + performance.now(), hex = new TextEncoder(), text = new TextDecoder();
let number = 0;
const sent = (f) => {
  number++;
  const from = new Uint8Array(f.data), to = new Uint8Array(from.length + 8);
  to.set(from);
  to.set(hex.encode(number.toString(16).padStart(8, '0')), from.length);
  f.data = to.buffer;
  postMessage(['push', wall(), number, from.length, f.type === 'key' ? 1 : 0]);
};
const came = (f) => {
  const n = f.data.byteLength - 8;
  const number = parseInt(text.decode(new Uint8Array(f.data, n)), 16);
  f.data = f.data.slice(0, n);
  postMessage(['au', wall(), number, n, f.type === 'key' ? 1 : 0]);
};
onrtctransform = (e) => {
  const note = e.transformer.options.sends ? sent : came;
  e.transformer.readable.pipeThrough(new TransformStream({transform(f, c) { note(f); c.enqueue(f); }}))
    .pipeTo(e.transformer.writable);
};`;
window.transformOf = (sends) => {
  const worker = new Worker(URL.createObjectURL(new Blob([WORKER], {type: 'text/javascript'})));
  worker.onmessage = (e) => rows.push(e.data);
  return new RTCRtpScriptTransform(worker, {sends});
};
"""
SEND = COMMON + """
const W = 1280, H = 720, canvas = document.createElement('canvas');
canvas.width = W; canvas.height = H;
document.body.append(canvas);
const c = canvas.getContext('2d', {alpha: false});
const noise = new OffscreenCanvas(1024, 1024), n = noise.getContext('2d'), data = n.createImageData(1024, 1024);
for (let i = 0; i < data.data.length; i += 4) {
  const v = 128 + (Math.random() - 0.5) * 120;
  data.data.set([v, v * 0.7 + 30, 255 - v, 255], i);
}
n.putImageData(data, 0, 0);
const lines = new OffscreenCanvas(560, 97 * 16), l = lines.getContext('2d', {alpha: false});
l.fillStyle = '#fff';
l.fillRect(0, 0, 560, 97 * 16);
l.fillStyle = '#000';
l.font = '13px monospace';
for (let i = 0; i < 97; i++) l.fillText(`${i} ${Math.random().toString(36)} the page is scrolled ${Math.random().toString(36)}`, 4, 12 + i * 16);
let number = 0, begin = wall();
c.fillStyle = '#678';
c.fillRect(0, 0, W, H);
const draw = () => {
  const t = wall();
  if (KEYS_S) {
    c.fillStyle = '#fff';
    c.font = '20px monospace';
    c.fillText('x', 40 + number * 12 % 1200, 400);
  } else {
    c.drawImage(lines, 0, (number * 8) % (97 * 16 - 640), 560, 640, 20, 50, 560, 640);
    c.drawImage(noise, Math.random() * 384 | 0, Math.random() * 664 | 0, 640, 360, 610, 120, 640, 360);
  }
  number++;
  let bits = BigInt(number) << 32n | BigInt(Math.round(t - begin));
  for (let i = 0; i < BITS; i++) {
    c.fillStyle = bits >> BigInt(i) & 1n ? '#fff' : '#000';
    c.fillRect(i * BLOCK, 0, BLOCK, 2 * BLOCK);
  }
};
setInterval(draw, KEYS_S ? KEYS_S * 1000 : 1000 / 30);
window.pc = new RTCPeerConnection();
const track = canvas.captureStream(30).getVideoTracks()[0];
track.contentHint = 'detail';
const sender = pc.addTransceiver(track, {direction: 'sendonly', sendEncodings: [{maxBitrate: 20e6, maxFramerate: 30}]}).sender;
sender.transform = transformOf(true);
const parameters = sender.getParameters();
parameters.degradationPreference = 'maintain-resolution';
await sender.setParameters(parameters).catch(() => {});
const all = RTCRtpSender.getCapabilities('video').codecs, wanted = CODECS.map((k) => all.filter((x) => x.mimeType === 'video/' + k)).find((l) => l.length);
pc.getTransceivers()[0].setCodecPreferences([...wanted, ...all.filter((x) => /rtx/.test(x.mimeType))]);
await pc.setLocalDescription();
await gathered(pc);
return {sdp: pc.localDescription.sdp, begin, codec: wanted[0].mimeType};
"""
RECV = COMMON + """
window.pc = new RTCPeerConnection();
const video = document.createElement('video');
video.muted = true; video.autoplay = true;
document.body.append(video);
pc.ontrack = (e) => { e.receiver.transform = transformOf(false); video.srcObject = new MediaStream([e.track]); video.play(); };
const strip = new OffscreenCanvas(BITS, 1), c = strip.getContext('2d', {willReadFrequently: true});
let last = 0;
const onFrame = (now, meta) => {
  video.requestVideoFrameCallback(onFrame);
  const scale = meta.width / 1280; // one sample from the middle of each block
  c.imageSmoothingEnabled = false;
  c.drawImage(video, 0, 0, BITS * BLOCK * scale, 2 * BLOCK * scale, 0, 0, BITS, 1);
  const d = c.getImageData(0, 0, BITS, 1).data;
  let bits = 0n;
  for (let i = 0; i < BITS; i++) if (d[i * 4 + 1] > 128) bits |= 1n << BigInt(i);
  const number = Number(bits >> 32n), t = Number(bits & 0xffffffffn);
  rows.push(['presented', performance.timeOrigin + now, number, BEGIN + t, meta.width, meta.height]);
};
video.requestVideoFrameCallback(onFrame);
await pc.setRemoteDescription({type: 'offer', sdp: OFFER});
await pc.setLocalDescription(await pc.createAnswer());
await gathered(pc);
return {sdp: pc.localDescription.sdp};
"""


def tree_cpu_s(pid):
    """Of a process and all below it: a browser is many."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as f:
                    fields = f.read().rsplit(")", 1)[1].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append((int(name), int(fields[11]) + int(fields[12])))
    total, todo = 0, [pid]
    while todo:
        for child, ticks in children.get(todo.pop(), []):
            total += ticks
            todo.append(child)
    return total / os.sysconf("SC_CLK_TCK")


class SideEnv:
    """An Env whose programs run on one side of the lab."""

    def __init__(self, env, side):
        self.env, self.side, self.tmp = env, side, env.tmp

    def spawn(self, name, argv, **kw):
        return self.env.spawn(name, self.side.wrap(argv), **kw)


class Page:
    """A browser with one page; a thread fetches what the page noted, and writes it as log lines."""

    def __init__(self, env, side, log):
        import browser
        self.side = side
        self.browser = browser.Browser(SideEnv(env, side), "chromium")
        self.lock, self.log, self.stats, self.seen = threading.Lock(), open(log, "w", buffering=1), {}, {}
        self.pushed, self.came = {}, {}
        self.proc = self.browser.proc
        self.proc.cpu_s = lambda: tree_cpu_s(self.proc.pid)

    def evaluate(self, code):
        with self.lock:
            return self.browser.do("evaluate", code=code)

    def with_ip(self, sdp):
        """Chromium hides addresses behind names of mDNS; the lab knows the address."""
        return re.sub(r"[0-9a-f-]{36}\.local", self.side.ip, sdp)

    def follow(self):
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self):
        while self.proc.running():
            try:
                self.take(self.evaluate("return await drain();"))
            except (lib.Failed, OSError, ValueError):
                return
            time.sleep(0.3)

    def take(self, d):
        shift = run.now_us() - time.time_ns() // 1000
        mono = lambda ms: int(ms * 1000) + shift  # noqa: E731
        before, self.stats = self.stats, d["stats"]
        for r in d["rows"]:
            if r[0] == "push":
                self.log.write(f"push {mono(r[1])} {r[2]} {r[2] - 1 + r[4]} {r[3]}\n")
                self.pushed[r[2]] = mono(r[1])
            elif r[0] == "au":
                if not self.came:
                    self.log.write(f"first {mono(r[1])}\n")
                self.came[r[2]] = (mono(r[1]), r[3], r[4])
            elif self.seen.get(r[2]) is None:
                self.seen[r[2]] = (mono(r[1]), (r[1] - r[3]) * 1000)
        for _ in range(self.stats.get("pliCount", 0) - before.get("pliCount", 0)):
            self.log.write(f"key {run.now_us()}\n")


class Peer:
    name = "chromium"

    def __init__(self):
        self.pairs = []

    def sender(self, env, side, log, _start_bps, options):
        keys_s = options.get("keys", 0)
        self.send = Page(env, side, log)
        self.offer = self.send.evaluate(f"const CODECS = {list(CODECS)}, KEYS_S = {keys_s};" + SEND)
        return self.send.proc, "page"

    def receiver(self, env, side, _url, log, _options):
        self.recv = Page(env, side, log)
        offer = self.send.with_ip(self.offer["sdp"])
        answer = self.recv.evaluate(f"const OFFER = {offer!r}, BEGIN = {self.offer['begin']};" + RECV)
        sdp = self.recv.with_ip(answer["sdp"])
        self.send.evaluate(f"await pc.setRemoteDescription({{type: 'answer', sdp: {sdp!r}}});")
        self.send.follow()
        self.recv.follow()
        self.pairs.append((self.send, self.recv))
        return self.recv.proc

    def finish(self, _scene):
        """Writes what the receiver noted as scene_recv does: a picture is shown once all before it, from the last key
        frame on, were (H.264 and VP9 refer to the one before)."""
        for send, recv in self.pairs:
            ready, shown = {}, []
            for number, (t, size, key) in sorted(recv.came.items()):
                if key or number - 1 in ready:
                    ready[number] = t if key else max(t, ready[number - 1])
                    shown.append((ready[number], number, size, key))
            for t, number, size, key in sorted(shown):
                recv.log.write(f"au 0 {t} {number} {t - send.pushed.get(number, t)} {size} 1 {key}\n")

    def extra(self, scene):
        send, recv = self.pairs[0]
        s, r = send.stats, recv.stats
        seen = [v for v in recv.seen.values() if scene.begin_us <= v[0] < scene.end_us]
        latency = [v[1] / 1000 for v in seen]
        return {"codec": self.offer["codec"], "resolution": [s.get("frameWidth"), s.get("frameHeight")],
                "encoder_limited_by": s.get("qualityLimitationReason"), "target_bps": s.get("targetBitrate"),
                "presented_fps": len(seen) / (scene.end_us - scene.begin_us) * 1e6,
                "presented_latency_p50_ms": run.quantile(latency, 0.5),
                "presented_latency_p95_ms": run.quantile(latency, 0.95),
                "freezes_by_its_own_count": r.get("freezeCount")}
