"""Chromium as a peer of the scenes: a canvas sent by one headless browser to another, with libwebrtc's own
congestion control, encoding and decoding for real at 720p30.

The canvas is busy and carries the picture's number and the time in black and white blocks, which the receiving page
reads from each presented picture (requestVideoFrameCallback): so the latency contains encoding, the playout delay
and decoding, which the rows of the other peers do not. Key frame requests, the pictures really sent, and the
resolution come from getStats.
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
"""
SEND = COMMON + """
const W = 1280, H = 720, canvas = document.createElement('canvas');
canvas.width = W; canvas.height = H;
document.body.append(canvas);
const c = canvas.getContext('2d', {alpha: false});
const noise = new OffscreenCanvas(256, 256), n = noise.getContext('2d'), data = n.createImageData(256, 256);
for (let i = 0; i < data.data.length; i += 4) {
  const v = Math.random() * 256;
  data.data.set([v, v * 0.7, 255 - v, 255], i);
}
n.putImageData(data, 0, 0);
let number = 0, begin = wall();
const draw = () => {
  const t = wall();
  c.fillStyle = `hsl(${number % 360} 40% 70%)`;
  c.fillRect(0, 0, W, H);
  c.font = '14px monospace';
  c.fillStyle = '#000';
  for (let i = 0; i < 30; i++) c.fillText('the picture is encoded again, line ' + ((i + (number >> 1)) % 97), 20, 60 + i * 20 - (number % 2) * 10);
  for (let i = 0; i < 4; i++)
    c.drawImage(noise, (number * 3 + i * 64) % 128, (number * 5) % 128, 128, 128, 500 + i * 170, 120 + 80 * Math.sin(number / 20 + i), 160, 160);
  number++;
  let bits = BigInt(number) << 32n | BigInt(Math.round(t - begin));
  for (let i = 0; i < BITS; i++) {
    c.fillStyle = bits >> BigInt(i) & 1n ? '#fff' : '#000';
    c.fillRect(i * BLOCK, 0, BLOCK, 2 * BLOCK);
  }
  rows.push(['push', t, number]);
};
setInterval(draw, 1000 / 30);
window.pc = new RTCPeerConnection();
const sender = pc.addTransceiver(canvas.captureStream(30).getVideoTracks()[0], {direction: 'sendonly', sendEncodings: [{maxBitrate: 20e6}]}).sender;
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
pc.ontrack = (e) => { video.srcObject = new MediaStream([e.track]); video.play(); };
const strip = new OffscreenCanvas(BITS, 1), c = strip.getContext('2d', {willReadFrequently: true});
let last = 0;
const onFrame = (now, meta) => {
  video.requestVideoFrameCallback(onFrame);
  const scale = meta.width / 1280;
  c.imageSmoothingEnabled = false;
  for (let i = 0; i < BITS; i++)
    c.drawImage(video, (i + 0.5) * BLOCK * scale, BLOCK * scale, 1, 1, i, 0, 1, 1);
  const d = c.getImageData(0, 0, BITS, 1).data;
  let bits = 0n;
  for (let i = 0; i < BITS; i++) if (d[i * 4 + 1] > 128) bits |= 1n << BigInt(i);
  const number = Number(bits >> 32n), t = Number(bits & 0xffffffffn);
  rows.push(['au', performance.timeOrigin + now, number, BEGIN + t, meta.width, meta.height]);
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
                self.log.write(f"push {mono(r[1])} {r[2]} 0 0\n")
            elif self.seen.get(r[2]) is None:
                self.seen[r[2]] = r[4:6]
                self.log.write(f"au 0 {mono(r[1])} {r[2]} {int((r[1] - r[3]) * 1000)} 0 1 0\n")
        for _ in range(self.stats.get("pliCount", 0) - before.get("pliCount", 0)):
            self.log.write(f"key {run.now_us()}\n")


class Peer:
    name = "chromium"

    def sender(self, env, side, log, _start_bps, options):
        if "keys" in options:
            raise lib.Failed("a canvas has no keystrokes in this bench")
        self.send = Page(env, side, log)
        self.offer = self.send.evaluate(f"const CODECS = {list(CODECS)};" + SEND)
        return self.send.proc, "page"

    def receiver(self, env, side, _url, log, _options):
        self.recv = Page(env, side, log)
        offer = self.send.with_ip(self.offer["sdp"])
        answer = self.recv.evaluate(f"const OFFER = {offer!r}, BEGIN = {self.offer['begin']};" + RECV)
        sdp = self.recv.with_ip(answer["sdp"])
        self.send.evaluate(f"await pc.setRemoteDescription({{type: 'answer', sdp: {sdp!r}}});")
        self.send.follow()
        self.recv.follow()
        return self.recv.proc

    def extra(self, _scene):
        """Of the whole connection: what was encoded, and what of it was decoded."""
        s, r = self.send.stats, self.recv.stats
        sent, decoded = s.get("framesEncoded", 0), r.get("framesDecoded", 0)
        size = [s.get("frameWidth"), s.get("frameHeight")]
        return {"codec": self.offer["codec"], "resolution": size, "shown_percent": 100 * decoded / sent if sent else 0,
                "sent": sent, "encoder_limited_by": s.get("qualityLimitationReason"),
                "freezes_by_its_own_count": r.get("freezeCount")}
