#!/usr/bin/python3
"""hevcast share -> view over a network that fails for a moment, and then loses retransmissions
too: what is lost for good is answered by a picture that refers to what the viewer has. No key frame
is asked for, and the pictures go on."""
import os
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "interop"))
import lib  # noqa: E402
import netlab  # noqa: E402

OUTAGES = 4


def main():
    with lib.Env("repairs by reference: outages and loss, 100 ms") as env, \
            netlab.need(a_to_b="rate=20M delay=50 queue=300", b_to_a="delay=50", seed=5) as lab:
        share = env.share("test:640x360@30", "--encoder", "screen", listen=lab.a.ip + ":0",
                          side=lab.a)
        view = env.view(share.url, side=lab.b)
        env.check(view.wait_event("first-picture", 20) is not None, "the first picture is there")
        time.sleep(1.5)
        before, keys = view.last_stats(), share.last_stats()["keyframes"]
        for _ in range(OUTAGES):
            lab.plan("a->b", [(0, "loss=100"), (0.25, "loss=50"), (0.75, "loss=0")])
            time.sleep(2)
        lost, mine = lab.stats()["a->b"]["lost"], share.last_stats()
        view.signal(signal.SIGINT)
        env.check(view.wait(10) == 0, "view ends with status 0")
        end = view.last_stats()
        env.check(lost > 20, f"the network lost {lost} packets")
        env.check(end["resumed"] > 0, f"{end['resumed']} losses ended without an IRAP picture")
        env.check(mine["repairs_by_reference"] > 0,
                  f"{mine['repairs_by_reference']} pictures repaired by reference")
        env.check(end["plis"] == before["plis"], f"{end['plis'] - before['plis']} key frames were "
                  f"asked for, {mine['keyframes'] - keys} sent")
        env.check(mine["keyframes"] == keys, "no key frame was sent")
        shown = end["frames_decoded"] - before["frames_decoded"]
        env.check(shown > 30 * OUTAGES, f"{shown} pictures were shown in {2 * OUTAGES} s")


if __name__ == "__main__":
    main()
