#!/usr/bin/python3
"""The two GStreamer peers against each other: proves that the test's own tools tell the truth.

If this fails, a failure of test_gst_view.py or test_gst_send.py says nothing about hevcast.
"""
import json

import lib

W, H = 640, 360


def main():
    with lib.Env("GStreamer sends, GStreamer views") as env:
        picture = lib.desktop(W, H)
        with open(env.path("picture.bgrx"), "wb") as f:
            f.write(lib.bgrx(picture))
        server = env.spawn("gst_whep_server", [
            lib.PYTHON, f"{lib.HERE}/gst_whep_server.py", env.path("picture.bgrx"), "--size",
            f"{W}x{H}", "--bitrate", "20000", "--events", env.path("events")])
        lib.wait_until("the WHEP endpoint listens", lambda: server.out().endswith(b"\n")
                       or not server.running(), 15)
        if server.p.poll() == 77:
            lib.skip(server.err())
        url = server.out().decode().strip()
        viewer = env.run([lib.PYTHON, f"{lib.HERE}/gst_view.py", url, "--raw", env.path("out"),
                          "--frames", "60", "--duration", "20", "--json", env.path("json")], 40)
        env.check(viewer.p.returncode == 0, "the viewer got its pictures")
        with open(env.path("json")) as f:
            result = json.load(f)
        env.check(result["frames"] == 60 and result["size"] == [W, H], f"60 pictures: {result}")
        data = lib.np.fromfile(env.path("out"), lib.np.uint8)
        last = data[59 * lib.i420_bytes(W, H):]
        quality = lib.psnr_y(last, picture)
        env.check(quality > 38, f"PSNR-Y {quality:.1f} dB is above 38 dB")
        bars = lib.worst_bar(lib.i420_to_rgb(last, W, H))
        env.check(bars < 6, f"colour bars are off by {bars:.1f} of 255")
        other = lib.psnr_y(last, lib.desktop(W, H, seed=2))
        env.check(other < 20, f"another page would have been noticed: {other:.1f} dB")

        bad = env.run([lib.PYTHON, f"{lib.HERE}/gst_view.py", url, "--tamper", "codec",
                       "--duration", "4", "--json", env.path("json")], 20)
        env.check(bad.p.returncode == 3, "an offer without H265 is refused")


if __name__ == "__main__":
    main()
