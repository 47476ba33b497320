#!/usr/bin/python3
"""hevcast share -> view over a bad network: 10 Mb/s, 40 ms, 2 % loss. The pictures are right, and no
storm of key frames repairs what a retransmission does."""
import os
import signal
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "interop"))
import lib  # noqa: E402
import netlab  # noqa: E402

W, H, N = 640, 360, 240


def main():
    link = "rate=10M delay=20 queue=300 loss=2"
    with lib.Env("share and view at 10 Mb/s, 40 ms, 2 % loss") as env, \
            netlab.need(a_to_b=link, b_to_a="delay=20 loss=2") as lab:
        env.xvfb(W, H)
        show = lib.Show(env, W, H)
        share = env.share("--encoder", "screen", "--no-cursor", listen=lab.a.ip + ":0", side=lab.a)
        view, reader = env.view_raw(share.url, lib.i420_bytes(W, H), side=lab.b)
        reader.wait_count(1, 20)
        for i in range(20):  # pages, each another
            page = lib.desktop(W, H, seed=i)
            show.show(page)
            value, _ = reader.wait_good(lambda data: lib.psnr_y(data, page), 38, 20)
            if i % 5 == 4:
                env.check(value > 38, f"page {i}: PSNR-Y {value:.1f} dB")
        stats, mine = lab.stats()["a->b"], share.last_stats()
        view.signal(signal.SIGINT)
        env.check(view.wait(10) == 0, "view ends with status 0")
        end = view.last_stats()
        lost = stats["lost"]
        env.check(lost > 3, f"the network lost {lost} packets of {stats['packets_in']}")
        env.check(end.get("packets_recovered", 0) > 0, f"{end.get('packets_recovered')} were recovered")
        env.check(mine.get("keyframes", 99) <= 3, f"{mine.get('keyframes')} key frames in all")


if __name__ == "__main__":
    main()
