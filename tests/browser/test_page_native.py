#!/usr/bin/python3
"""test_page_native.py chromium: the path that leaves H265 to the browser, in a browser that has none.

Scripts that run before the page make it believe in H265 and rename a codec of the browser's in offer and answer.
- VP8 under the name of H265, with a share that sends real H265: it is negotiated, packets come, and nothing is
  decoded. The page has to give it up by itself, say so, and show the picture in another way.
- H.264 under the name of H265, sent by GStreamer to the same page: what the native path does with a track that
  is decoded. No browser here decodes H265 in WebRTC, so the medium itself is not shown."""
import os
import sys

from browser import Browser, lib

sys.path.insert(0, os.path.join(lib.HERE, "..", "bench"))
import browser_film  # noqa: E402

# {name} is the codec that takes H265's place.
BELIEVE = """
const real = RTCRtpReceiver.getCapabilities.bind(RTCRtpReceiver);
const others = (kind) => real('video').codecs.filter((c) => c.mimeType === `video/${kind}`);
const fmtp = 'level-id=180;profile-id=1;tier-flag=0;tx-mode=SRST';
RTCRtpReceiver.getCapabilities = (kind) => {
  const all = real(kind);
  if (kind === 'video') all.codecs = [...all.codecs, {mimeType: 'video/H265', clockRate: 90000, sdpFmtpLine: fmtp}];
  return all;
};
const prefer = RTCRtpTransceiver.prototype.setCodecPreferences;
RTCRtpTransceiver.prototype.setCodecPreferences = function (list) {
  prefer.call(this, list.flatMap((c) => (c.mimeType === 'video/H265' ? others('NAME') : [c])));
  window.asked = {receiver: this.receiver, codecs: list.map((c) => c.mimeType)};
};
"""
RENAME = """
const post = window.fetch.bind(window);
window.fetch = async (where, options) => {
  const h265 = where === 'whep' && options.method === 'POST';
  if (!h265) return post(where, options);
  const body = options.body.replace(/VP8\\/90000/g, 'H265/90000');
  const r = await post(where, {...options, body}), text = (await r.text()).replace(/H265\\/90000/g, 'VP8/90000');
  const answer = new Response(text, {status: r.status, headers: r.headers});
  Object.defineProperty(answer, 'url', {value: r.url});
  return answer;
};
"""


def panel(web):
    return web.do("evaluate", code="return Object.fromEntries([...document.querySelectorAll('#numbers dt')]"
                                   ".map((e) => [e.textContent, e.nextSibling.textContent]))")


def test_black(env, kind):
    web = Browser(env, kind)
    share = env.share("test:640x360@20")
    web.do("inject", code="{" + BELIEVE.replace("NAME", "VP8") + RENAME + "}")
    web.do("inject", code="window.states = []; addEventListener('DOMContentLoaded', () => new MutationObserver(() => "
                          "states.push([document.body.dataset.state, document.getElementById('message-text').textContent]))"
                          ".observe(document.body, {attributes: true, attributeFilter: ['data-state']}));")
    web.do("open", url=share.url)
    page = web.wait_state("watching", timeout_s=30)
    states = web.do("evaluate", code="return states")
    env.check(any(s == "first" for s, _ in states), f"negotiated as H265 first: {states}")
    env.check(any("own H265 was given up" in text for _, text in states), "the page said that it gave that up")
    lib.wait_until("its statistics", lambda: web.stats().get("decoder"), 5)
    said = panel(web)
    env.check("it got the stream and decoded no picture" in said["Native H265"], f"and the statistics say it: {said}")
    env.check(web.stats()["decoder"] == "WebAssembly", f"shown by WebAssembly after {page['ms']:.0f} ms")
    env.check(web.do("evaluate", code="return document.getElementById('video').hidden"), "the <video> is out of the way")
    lib.wait_until("one viewer is left", lambda: share.last_stats().get("viewers") == 1, 10)
    env.check(True, "the share has one viewer")
    share.end()
    web.close()


def number_of(picture):
    """What its cells say; -1: nothing."""
    row = picture[8, 8:48 * 16:16, 1] > 127
    n = int("".join("1" if bit else "0" for bit in row[4:36]), 2)
    return n if (row == (browser_film.cells(n)[8::16] > 127)).all() else -1


def test_shown(env, kind):
    film = browser_film.make(env, "typing", "h264", 40)
    peer = env.spawn("gstreamer", [lib.PYTHON, os.path.join(lib.HERE, "..", "bench", "browser_peer.py"), film, "10",
                                   "--page", os.path.join(lib.HERE, "..", "..", "web")])
    lib.wait_until("GStreamer listens", lambda: b"\n" in peer.out() or not peer.running(), 20)
    if peer.p.poll() == 77:
        lib.skip(peer.err())
    web = Browser(env, kind)
    web.do("inject", code="{" + BELIEVE.replace("NAME", "H264") + "}")
    web.do("open", url=peer.out().split(b"\n")[0].decode(), width=1920, height=1080)
    web.wait_state("watching", timeout_s=30)
    asked = web.do("evaluate", code="return [asked.codecs, asked.receiver.jitterBufferTarget]")
    env.check("video/H265" in asked[0] and "video/VP8" not in asked[0], f"it offers {asked[0]}")
    env.check(asked[1] == 0, "and asks for the least delay")
    shown = web.do("evaluate", code="const v = document.getElementById('video'); return [v.hidden, v.videoWidth, v.videoHeight, "
                                    "v.getBoundingClientRect().width, document.getElementById('canvas').hidden]")
    env.check(shown == [False, browser_film.W, browser_film.H, 1920, True], f"the <video> fills the page: {shown}")
    first = number_of(web.pixels())
    lib.wait_until("another picture", lambda: number_of(web.pixels()) not in (first, -1), 10)
    env.check(first >= 0, f"pictures are seen, and go on ({first})")
    lib.wait_until("statistics", lambda: panel(web).get("Decoding"), 10)
    said = panel(web)
    env.check(said["Path"] == "native" and "Waiting to be shown" in said, f"statistics: {said}")
    web.close()
    peer.end()


def main():
    kind = sys.argv[1]
    with lib.Env(f"H265 left to {kind}", time_limit_s=120) as env:
        test_black(env, kind)
        test_shown(env, kind)


if __name__ == "__main__":
    main()
