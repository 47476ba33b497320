#!/usr/bin/python3
"""A still desktop with coloured text: what is decoded is what is on the screen.

4:2:0: PSNR of luma above 40 dB against the screen converted to BT.709 limited range.
4:4:4: PSNR above 40 dB over R, G and B. Both: the colours inside colour bars are right.
The picture counts that is there when the share has become quiet. A part of the desktop
(--region), of a size that is no multiple of 8, and a change after the quiet are looked at too.
"""
import lib

W, H = 1280, 720


def sharp(env, reader, what, quality):
    """Waits for the picture to become good, and then for the share to become quiet."""
    value, _ = reader.wait_good(quality, 40, 30)
    env.check(value > 40, f"{what}: PSNR {value:.1f} dB is above 40 dB, after {reader.count} pictures")
    data = reader.wait_quiet(1.5, 25)
    value = quality(data)
    env.check(value > 40, f"{what}: {value:.1f} dB when it is quiet, after {reader.count} pictures")
    return data


def test_420(env, picture):
    share = env.share("x11", "--no-cursor")
    view, reader = env.view_raw(share.url, lib.i420_bytes(W, H), "--pix-fmt", "i420")
    seconds = lib.first_picture(view)
    print(f"     first picture after {seconds * 1e3:.0f} ms (goal on a quiet machine: 500)")
    data = sharp(env, reader, "4:2:0, luma", lambda d: lib.psnr_y(d, picture))
    bars = lib.worst_bar(lib.i420_to_rgb(data, W, H))
    env.check(bars < 6, f"4:2:0: colour bars are off by {bars:.1f} of 255")
    return share, view, reader


def test_change(env, show, reader):
    """The known desktop of another seed: nothing of the old one may stay."""
    other = lib.desktop(W, H, seed=2)
    show.show(other)
    data = sharp(env, reader, "after a change, luma", lambda d: lib.psnr_y(d, other))
    old = lib.psnr_y(data, lib.desktop(W, H))
    env.check(old < 25, f"and the old page is gone: {old:.1f} dB")


def test_444(env, picture):
    share = env.share("x11", "--no-cursor", "--chroma", "444")
    view, reader = env.view_raw(share.url, 3 * W * H, "--pix-fmt", "i444")
    data = sharp(env, reader, "4:4:4, RGB",
                 lambda d: lib.psnr(lib.i444_to_rgb(d, W, H), picture))
    bars = lib.worst_bar(lib.i444_to_rgb(data, W, H))
    env.check(bars < 6, f"4:4:4: colour bars are off by {bars:.1f} of 255")
    view.end()
    share.end()


def test_region(env, picture, w, h):
    """At an odd place. 4:2:0 has even sizes only, so an odd one may be off by a pixel."""
    x, y = 101, 95
    share = env.share("x11", "--no-cursor", "--region", f"{w}x{h}+{x}+{y}")
    probe = env.view(share.url)
    size = probe.wait_event("first-picture", 10)
    probe.end()
    got_w, got_h = size["width"], size["height"]
    env.check(abs(got_w - w) <= w % 2 and abs(got_h - h) <= h % 2,
              f"region {w}x{h}: the picture has {got_w}x{got_h}")
    view, reader = env.view_raw(share.url, lib.i420_bytes(got_w, got_h), "--pix-fmt", "i420")
    w, h = w & ~1, h & ~1
    expected = picture[y:y + h, x:x + w]

    def quality(data):
        luma = data[:got_w * got_h].reshape(got_h, got_w)[:h, :w]
        return lib.psnr_y(luma.reshape(-1), expected)
    value, _ = reader.wait_good(quality, 40, 20)
    env.check(value > 40, f"region {w}x{h}+{x}+{y}: PSNR-Y {value:.1f} dB is above 40 dB")
    view.end()
    share.end()


def main():
    with lib.Env("a still desktop is decoded as it is") as env:
        env.xvfb(W, H)
        picture = lib.desktop(W, H)
        show = lib.Show(env, W, H)
        show.show(picture)
        share, view, reader = test_420(env, picture)
        test_change(env, show, reader)
        view.end()
        share.end()
        show.show(picture)
        test_444(env, picture)
        test_region(env, picture, 402, 302)
        test_region(env, picture, 401, 303)


if __name__ == "__main__":
    main()
