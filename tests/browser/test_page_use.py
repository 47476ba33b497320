#!/usr/bin/python3
"""test_page_use.py chromium|firefox|firefox-h265: how the page behaves for who uses it.

A page in the background asks for nothing, leaves in the end, and is back at once; picture in picture goes on
there; pixels at 1:1 and at whole multiples are exact; keys, buttons, full screen, the link, a screen reader, a phone."""
import sys
import time

from browser import Browser, lib

W, H = 640, 360


def state_of(web, what):
    return web.do("evaluate", code=f"return {what}")


def said(web):
    return state_of(web, "[document.body.dataset.state, document.getElementById('message-text').textContent, "
                         "document.getElementById('told').textContent]")


def drawn(web):
    """How many pictures were drawn so far; asks until newer statistics are there."""
    before = web.do("evaluate", code="return document.body.dataset.stats")
    lib.wait_until("newer statistics", lambda: web.do("evaluate", code="return document.body.dataset.stats") != before, 5)
    return web.stats()["totals"]


def open_page(web, share, query="", **size):
    web.do("open", url=share.url + query, **{"width": 1280, "height": 720, **size})
    web.wait_state("watching")


def test_background(env, web, share):
    open_page(web, share, "?away=4000")
    env.check(drawn(web)["drawn"] > 0, "pictures are drawn")
    env.check(web.do("hide"), "another tab is in front, and the page knows it")
    time.sleep(1.2)
    before, keys = drawn(web), share.last_stats()["keyframes"]
    time.sleep(1.2)
    after = drawn(web)
    env.check(after["drawn"] == before["drawn"] and after["keyRequests"] == before["keyRequests"],
              f"in the background it draws nothing and asks for nothing ({after['drawn']} pictures)")
    began = time.monotonic()
    env.check(web.do("show"), "it is seen again")
    lib.wait_until("it draws again", lambda: web.stats()["totals"]["drawn"] > after["drawn"], 10)
    print(f"     it was back, by its statistics of each second, after {time.monotonic() - began:.1f} s", flush=True)
    stats = web.stats()
    env.check(stats["totals"]["keyRequests"] == after["keyRequests"] + 1, "it came back with one request for a key frame")
    env.check(share.last_stats()["viewers"] == 1, "by the same connection")
    lib.wait_until("the key frame in the share's statistics", lambda: share.last_stats()["keyframes"] > keys, 5)

    web.do("hide")
    lib.wait_until("nobody is left", lambda: share.last_stats()["viewers"] == 0, 15)
    env.check(True, "in the background for longer, it left the share")
    env.check(web.do("show"), "it is seen again")
    web.wait_state("watching")
    env.check(drawn(web)["drawn"] > 0, "it is back by itself")


def test_picture_in_picture(env, web, share):
    open_page(web, share, "?away=1000")
    env.check(not state_of(web, "document.getElementById('pip').hidden"), "picture in picture is offered")
    web.do("key", key="p")
    lib.wait_until("picture in picture", lambda: state_of(web, "Boolean(document.pictureInPictureElement)"), 10)
    width = state_of(web, "document.pictureInPictureElement.videoWidth")
    env.check(width == W, f"its video is {width} pixels wide")
    if web.kind == "chromium":
        web.do("hide")
    else:  # Firefox's driver stands still when another tab comes to the front now
        web.do("evaluate", code="Object.defineProperty(document, 'hidden', {configurable: true, value: true}); "
                                "document.dispatchEvent(new Event('visibilitychange'))")
    before = drawn(web)["drawn"]
    time.sleep(2)
    after = drawn(web)["drawn"]
    env.check(after > before + 20, f"in the background, drawing goes on in picture in picture ({before} to {after})")
    if web.kind == "chromium":
        web.do("show")
    else:
        web.do("evaluate", code="delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    web.do("key", key="p")
    lib.wait_until("its end", lambda: not state_of(web, "Boolean(document.pictureInPictureElement)"), 10)
    env.check(said(web)[0] == "watching", "ended by the key; the page goes on")


def box(web):
    return state_of(web, "(({x, y, width, height}) => ({x, y, width, height}))(document.getElementById('canvas').getBoundingClientRect())")


def test_pixels(env, web, show, share):
    """What is on the screen against what is in the canvas."""
    picture = lib.desktop(W, H, seed=5)
    show.show(picture)
    for width, height, dpr, keys, times in ((1281, 721, 1, "1", 1), (1280, 720, 1, "", 2), (801, 601, 2, "1", 1)):
        if dpr != 1 and web.kind != "chromium":
            continue
        open_page(web, share, width=width, height=height, deviceScaleFactor=dpr)
        for k in keys:
            web.do("key", key=k)
        # the bar would lie over it
        web.do("evaluate", code="document.getElementById('bar').hidden = true")
        web.wait_picture(lambda p: lib.psnr(p, picture) if p.shape == picture.shape else -1, 30, 20)
        time.sleep(0.5)
        b, canvas, seen = box(web), web.pixels(), web.screenshot()
        x, y = round(b["x"] * dpr), round(b["y"] * dpr)
        found = seen[y:y + H * times, x:x + W * times]
        what = f"{'1:1' if keys else 'fit'} in {width}x{height} at {dpr} to a pixel"
        env.check(abs(b["x"] * dpr - x) < 0.01 and abs(b["y"] * dpr - y) < 0.01, f"{what}: on whole pixels ({b})")
        wrong = int((found != canvas.repeat(times, 0).repeat(times, 1)).any(-1).sum()) if \
            found.shape == (H * times, W * times, 3) else -1
        env.check(wrong == 0, f"{what}: {wrong} pixels differ, {times} to one")
    open_page(web, share, width=1000, height=500)
    b = box(web)
    env.check(abs(b["height"] - 500) < 1 and b["width"] < 1000, f"fit in 1000x500: {b}")


def test_keys(env, web, share):
    open_page(web, share)
    web.do("key", key="s")
    env.check(state_of(web, "!document.getElementById('panel').hidden && "
                            "document.getElementById('stats').getAttribute('aria-pressed')") == "true", "S: statistics")
    time.sleep(2.2)
    names = state_of(web, "[...document.querySelectorAll('#numbers dt')].map((e) => e.textContent)")
    wanted = {"Path", "Size", "Pictures", "Bit rate", "Packet loss", "Round trip", "Latency", "– decoding", "– drawing"}
    env.check(wanted <= set(names), f"the panel has {', '.join(names)}")
    web.do("key", key="s")
    web.do("key", key="f")
    lib.wait_until("full screen", lambda: state_of(web, "Boolean(document.fullscreenElement)"), 5)
    web.do("key", key="f")
    lib.wait_until("its end", lambda: not state_of(web, "Boolean(document.fullscreenElement)"), 5)
    web.do("click", at="#stage", count=2)
    lib.wait_until("full screen by a double click", lambda: state_of(web, "Boolean(document.fullscreenElement)"), 5)
    web.do("click", at="#stage", count=2)
    lib.wait_until("its end", lambda: not state_of(web, "Boolean(document.fullscreenElement)"), 5)
    env.check(True, "F and a double click: full screen and back")
    web.do("key", key="1")
    env.check(abs(box(web)["width"] - W) < 0.01, "1: one pixel for one pixel")
    web.do("key", key="1")
    web.do("key", key="q")
    env.check(said(web)[0] == "left", f"Q: {said(web)[1]}")
    lib.wait_until("nobody is left", lambda: share.last_stats()["viewers"] == 0, 5)
    web.do("click", at="#retry")
    web.wait_state("watching")
    env.check(True, "its button connects again")


def test_accessible(env, web, share):
    open_page(web, share)
    env.check(said(web)[2] == "Watching", f"told to a screen reader: {said(web)[2]}")
    found = []
    web.do("evaluate", code="document.getElementById('stage').focus()")
    for _ in range(4):
        web.do("key", key="Tab")
        found.append(state_of(web, "document.activeElement.id"))
    env.check(found == ["fullscreen", "scale", "pip", "stats"], f"Tab goes through {found}")
    outline = state_of(web, "getComputedStyle(document.activeElement).outlineStyle")
    env.check(outline != "none", f"what has the focus shows it: outline {outline}")
    time.sleep(2.8)  # idle
    env.check(state_of(web, "getComputedStyle(document.getElementById('bar')).opacity") == "1", "the bar stays while it has the focus")
    web.do("key", key="Enter")
    env.check(state_of(web, "!document.getElementById('panel').hidden"), "Enter presses a button")
    unnamed = state_of(web, "[...document.querySelectorAll('button, section, nav, main, canvas, video')]"
                            ".filter((e) => !(e.getAttribute('aria-label') || e.textContent.trim())).map((e) => e.id)")
    env.check(unnamed == [], "everything has a name")
    if web.kind == "chromium":
        tree = web.do("accessible")
        for role, name in (("main", "Viewer of a shared screen"), ("navigation", "Controls"), ("status", ""),
                           ("button", "Full screen"), ("button", "Statistics"), ("button", "Copy link")):
            env.check(any(r == role and (not name or n == name) for r, n in tree), f"a screen reader finds {role} {name}")
        env.check(any(r in ("image", "img") and n == "The shared screen" for r, n in tree), "and the picture")


def test_copy(env, web, share):
    """By the fallback too, which needs no secure context."""
    wanted = share.url.rstrip("/")
    for how in ("clipboard", "without a secure context"):
        open_page(web, share)
        if how != "clipboard":
            web.do("evaluate", code="Object.defineProperty(navigator, 'clipboard', {value: undefined})")
        else:
            web.do("grant")
        web.do("key", key="c")
        lib.wait_until("an answer", lambda: said(web)[2].startswith("Cop"), 5)
        env.check(said(web)[2] == "Copied", f"copied, {how}: {said(web)[2]}")
        web.do("evaluate", code="const t = document.createElement('textarea'); t.id = 'paste'; document.body.append(t); t.focus()")
        web.do("paste")
        text = state_of(web, "document.getElementById('paste').value")
        env.check(text == wanted, f"the clipboard has {text}")


def test_unable(env, web, share):
    """Paths that this browser does not have: a sentence that says which browser would do."""
    for path, reason in (("native", "does not know H265"), ("webcodecs", "does not take HEVC")):
        web.do("open", url=share.url + "?path=" + path)
        page = web.wait_state("unable")
        env.check(reason in page["text"] and "Safari 18" in page["detail"], f"{path}: {page['text']} {page['detail']}")


def test_phone(env, web, share):
    open_page(web, share, width=390, height=844, deviceScaleFactor=3, isMobile=True, hasTouch=True)
    b = box(web)
    env.check(b["width"] <= 390.01 and b["x"] >= -0.01 and abs(b["width"] / b["height"] - W / H) < 0.01, f"the picture fits: {b}")
    env.check(state_of(web, "document.scrollingElement.scrollWidth <= innerWidth"), "nothing is wider than the phone")
    time.sleep(2.8)
    web.do("tap", at="#stage")
    time.sleep(0.4)
    small = state_of(web, "[...document.querySelectorAll('#bar button:not([hidden])')].map((e) => e.getBoundingClientRect())"
                          ".filter((r) => r.height < 44 || r.left < 0 || r.right > innerWidth || r.bottom > innerHeight).length")
    opacity = state_of(web, "getComputedStyle(document.getElementById('bar')).opacity")
    env.check(small == 0 and float(opacity) > 0.9, "a tap brings the buttons, all on the screen and 44 pixels high")
    web.do("tap", at="#stats")
    panel = state_of(web, "(({left, right, bottom}) => [left, right, bottom])(document.getElementById('panel').getBoundingClientRect())")
    env.check(panel[0] >= 0 and panel[1] <= 390 and panel[2] <= 844, f"the statistics are on it: {panel}")


def main():
    kind = sys.argv[1]
    with lib.Env(f"the use of the page in {kind}", time_limit_s=280) as env:
        web = Browser(env, kind)
        share = env.share(f"test:{W}x{H}@30")
        test_keys(env, web, share)
        test_accessible(env, web, share)
        test_copy(env, web, share)
        test_unable(env, web, share)
        test_background(env, web, share)
        test_picture_in_picture(env, web, share)
        if kind == "chromium":
            test_phone(env, web, share)
        share.end()
        env.xvfb(W, H)
        show = lib.Show(env, W, H)
        test_pixels(env, web, show, env.share("x11", "--no-cursor", "--chroma", "444"))
        web.close()


if __name__ == "__main__":
    main()
