#!/usr/bin/python3
"""test_page.py chromium|firefox|firefox-h265: the page behind the link in a real browser.

What is drawn equals the screen, 4:2:0 and 4:4:4, also for one that joins late and after the share was
killed and came back; a changed size is followed; a page that was reloaded leaves no viewer; a wrong
token leads nowhere. SCREENSHOT=FILE.png keeps a picture of the page."""
import os
import signal
import sys
import time

from browser import Browser, lib, luma_psnr, rgb_psnr, worst_delta_e

W, H = 1280, 720
PATH = {"chromium": "WebAssembly", "firefox": "WebAssembly", "firefox-h265": "WebCodecs"}


def first_picture(env, web, url, what):
    status = web.do("open", url=url, width=W, height=H)
    env.check(status in (200, 304), f"{what}: the page is there (HTTP status {status})")
    ms = web.wait_state("watching")["ms"]
    print(f"     {what}: first picture after {ms:.0f} ms", flush=True)


def sharp(env, web, what, quality, least=38):
    value, picture = web.wait_picture(quality, least, 30)
    env.check(value > least, f"{what}: PSNR {value:.1f} dB is above {least} dB")
    return picture


def viewers(share):
    return share.last_stats().get("viewers", -1)


def test_420(env, web, show):
    picture = lib.desktop(W, H)
    show.show(picture)
    share = env.share("x11", "--no-cursor", token="right")
    first_picture(env, web, share.url, "cold")
    sharp(env, web, "4:2:0, luma", luma_psnr(picture))
    lib.wait_until("statistics of the page", lambda: web.stats().get("decoder"), 5)
    stats = web.stats()
    env.check(stats["decoder"] == PATH[web.kind], f"decoded by {stats['decoder']}, drawn by {stats['drawing']}")
    delta = worst_delta_e(web.pixels())
    env.check(delta <= 2, f"colour bars: ΔE {delta:.2f} is at most 2")
    if os.environ.get("SCREENSHOT"):
        web.do("key", key="s")
        time.sleep(2)
        web.do("screenshot", path=os.environ["SCREENSHOT"])
        web.do("key", key="s")

    other = lib.desktop(W, H, seed=2)
    show.show(other)
    sharp(env, web, "after a change, luma", luma_psnr(other))
    time.sleep(2)
    first_picture(env, web, share.url, "late, warm")
    sharp(env, web, "late, luma", luma_psnr(other))
    stats = web.stats()
    env.check(not stats or stats["totals"]["errors"] == 0, "no decoding error")
    return share, other


def test_reload(env, web, share, picture):
    joined = len(share.events("viewer-joined"))
    for _ in range(10):
        web.do("reload")
        web.wait_state("connecting", "first", "watching")
    web.wait_state("watching")
    sharp(env, web, "after ten reloads, luma", luma_psnr(picture))
    lib.wait_until("one viewer is left", lambda: viewers(share) == 1, 10)
    print(f"     {len(share.events('viewer-joined')) - joined} joined meanwhile", flush=True)
    env.check(viewers(share) == 1, "after ten reloads the share has one viewer")


def test_restart(env, web, show, share):
    """Killed: not a word of goodbye. Then a new one at the same address."""
    port = share.url.rsplit(":", 1)[1].split("/")[0]
    share.signal(signal.SIGKILL)
    share.wait(5)
    said = web.wait_state("waiting", "connecting", timeout_s=40)
    print(f"     the page says: {said['text']} {said['detail']}", flush=True)
    picture = lib.desktop(W, H, seed=3)
    show.show(picture)
    again = env.share("x11", "--no-cursor", listen=f"127.0.0.1:{port}", token="right")
    web.wait_state("watching", timeout_s=40)
    sharp(env, web, "after a restart of the share, luma", luma_psnr(picture))
    again.end()
    said = web.wait_state("waiting", timeout_s=20)
    env.check("ended" in said["text"] or "reached" in said["text"], f"the share ended: the page says: {said['text']}")


def test_444(env, web, show):
    picture = lib.desktop(W, H)
    show.show(picture)
    share = env.share("x11", "--no-cursor", "--chroma", "444")
    first_picture(env, web, share.url, "4:4:4")
    sharp(env, web, "4:4:4, RGB", rgb_psnr(picture))
    delta = worst_delta_e(web.pixels())
    env.check(delta <= 2, f"4:4:4, colour bars: ΔE {delta:.2f} is at most 2")
    share.end()


def test_webgl(env, web, show):
    """The shader, on whatever WebGL2 there is; headless Firefox has none. A change touches few rows."""
    if not web.do("evaluate", code="return Boolean(new OffscreenCanvas(1, 1).getContext('webgl2'))"):
        print(f"     no WebGL2 in {web.kind}: the shader is not tested here", flush=True)
        return
    for chroma, quality in (("420", luma_psnr), ("444", rgb_psnr)):
        picture = lib.desktop(W, H)
        show.show(picture)
        share = env.share("x11", "--no-cursor", "--chroma", chroma)
        first_picture(env, web, share.url + "?draw=webgl&path=wasm", f"WebGL2, {chroma}")
        sharp(env, web, f"WebGL2, {chroma}", quality(picture))
        delta = worst_delta_e(web.pixels())
        env.check(delta <= 2, f"WebGL2, {chroma}, colour bars: ΔE {delta:.2f} is at most 2")
        changed = picture.copy()
        changed[300:340, 200:700] = lib.desktop(W, H, seed=9)[300:340, 200:700]
        show.show(changed)
        sharp(env, web, f"WebGL2, {chroma}, after a small change", quality(changed))
        lib.wait_until("statistics", lambda: web.stats().get("drawing"), 5)
        env.check(web.stats()["drawing"] == "WebGL2", "it was drawn by WebGL2")
        share.end()


def test_wrong_token(env, web):
    share = env.share("x11", token="right")
    status = web.do("open", url=share.url[:-1] + "x")
    env.check(status == 404, f"a wrong token: HTTP status {status}")
    share.end()


def test_resize(env, web):
    """Xvnc: Xvfb has one size."""
    lib.need("Xvnc", "xrandr")
    env.xvnc(1024, 768)
    show = lib.Show(env, 1024, 768)
    picture = lib.desktop(1024, 768)
    show.show(picture)
    share = env.share("x11", "--no-cursor")
    first_picture(env, web, share.url, "1024x768")
    sharp(env, web, "before a change of size, luma", luma_psnr(picture))
    r = env.run(["xrandr", "-s", "800x600"])
    env.check(r.p.returncode == 0, "xrandr changed the size")
    show.show(picture)  # the server cleared its windows
    sharp(env, web, "after a change of size, luma", luma_psnr(picture[:600, :800]))
    share.end()


def main():
    kind = sys.argv[1]
    with lib.Env(f"the page in {kind}", time_limit_s=280) as env:
        env.xvfb(W, H)
        show = lib.Show(env, W, H)
        web = Browser(env, kind)
        share, picture = test_420(env, web, show)
        test_reload(env, web, share, picture)
        test_restart(env, web, show, share)
        test_444(env, web, show)
        test_webgl(env, web, show)
        test_wrong_token(env, web)
        test_resize(env, web)
        web.close()


if __name__ == "__main__":
    main()
