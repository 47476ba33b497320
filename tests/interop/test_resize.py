#!/usr/bin/python3
"""The screen changes its size while it is shared (Xvnc: Xvfb has one size).

The stream goes on with new parameter sets: a --raw viewer keeps its first size and scales, a viewer
with --on-resize stop ends, a recording goes on in a second file, and a new viewer gets the new size.
"""
import os
import subprocess

import lib

OLD, NEW = (1024, 768), (800, 600)


def main():
    lib.need("Xvnc", "xrandr", "ffprobe")
    with lib.Env("the screen's size changes") as env:
        env.xvnc(*OLD)
        picture = lib.desktop(*OLD)
        show = lib.Show(env, *OLD)
        show.show(picture)
        share = env.share("x11", "--no-cursor")
        scaled, reader = env.view_raw(share.url, lib.i420_bytes(*OLD), "--pix-fmt", "i420")
        stopping = env.view(share.url, "--y4m", env.path("stop.y4m"), "--on-resize", "stop")
        recording = env.view(share.url, "--record", env.path("rec.mkv"))
        quality, _ = reader.wait_good(lambda d: lib.psnr_y(d, picture), 40, 20)
        env.check(quality > 40, f"before: PSNR-Y {quality:.1f} dB is above 40 dB")
        for v in (stopping, recording):
            v.wait_event("first-picture", 10)

        count = reader.count
        r = env.run(["xrandr", "-s", f"{NEW[0]}x{NEW[1]}"])
        env.check(r.p.returncode == 0, "xrandr changed the size")
        show.show(picture)  # the server cleared its windows
        reader.wait_count(count + 1, 10)
        resized = scaled.wait_event("resized", 10)
        env.check((resized["width"], resized["height"]) == NEW, f"view reports the size: {resized}")
        env.check(share.running() and scaled.running(), "both ends go on")

        # 800x600 into 1024x768 has the same aspect, so it fills the picture.
        small = picture[:NEW[1], :NEW[0]]
        expected = lib.yuv_from_rgb(small)[0]

        def bars_fit(data):
            luma = data[:OLD[0] * OLD[1]].reshape(OLD[1], OLD[0])
            middles = [min(i + 40, NEW[0] - 20) for i in range(0, NEW[0], OLD[0] // 8)]
            return -max(abs(float(luma[40, x * OLD[0] // NEW[0]]) - float(expected[30, x]))
                        for x in middles)
        error, _ = reader.wait_good(bars_fit, -8, 20)
        env.check(error > -8, f"the picture is scaled into the first size: off by {-error:.0f}")
        env.check("scal" in scaled.err().lower() or "size" in scaled.err().lower(),
                  "and view warns about it")

        env.check(stopping.wait(10) in (0, 1), "--on-resize stop ends the program")
        w, h, pictures, _ = lib.read_y4m(env.path("stop.y4m"))
        env.check((w, h) == OLD and pictures, f"and its file has the old size, {w}x{h}")

        late, late_reader = env.view_raw(share.url, lib.i420_bytes(*NEW), "--pix-fmt", "i420")
        quality, _ = late_reader.wait_good(lambda d: lib.psnr_y(d, small), 40, 20)
        size = late.wait_event("first-picture", 5)
        env.check((size["width"], size["height"]) == NEW, f"a new viewer gets the size: {size}")
        env.check(quality > 40, f"after: PSNR-Y {quality:.1f} dB is above 40 dB")

        recording.end()
        sizes = []
        for name in ("rec.mkv", "rec-2.mkv"):
            path = env.path(name)
            env.check(os.path.exists(path), f"the recording made {name}")
            sizes.append(tuple(int(x) for x in subprocess.run(
                ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries",
                 "stream=width,height", "-of", "csv=p=0", path], capture_output=True,
                check=True, timeout=20).stdout.decode().strip().strip(",").split(",")[:2]))
        env.check(sizes == [OLD, NEW], f"with the sizes {sizes}")


if __name__ == "__main__":
    main()
