#!/usr/bin/python3
"""Through firewalls and NATs with --ice-server, by the command line; coturn is the server.

- Between share and viewer only TCP is forwarded: media can pass through the TURN server alone. The
  viewer is told of the server by the share (Link headers). Over UDP, then where TURN too has TCP alone.
- Without the server it does not work, and the viewer says what may help.
- Both are behind a NAT of their own that lets in answers only: with a STUN server each learns its
  address outside, and the packets go directly.
"""
import time

import lib
import nets

W, H, FPS = 320, 240, 20
SIZE = lib.i420_bytes(W, H)


def coturn(env, net, address, relay):
    lib.need("turnserver")
    p = env.spawn("coturn", net.wrap(
        ["turnserver", "-n", "--no-cli", "--no-tls", "--no-dtls", "--listening-ip=" + address,
         "--relay-ip=" + relay, "--lt-cred-mech", "--user=anna:secret", "--realm=test",
         "--log-file=stdout", "--pidfile=" + env.path("turn.pid"), "--userdb=" + env.path("turn.db"),
         "--min-port=50000", "--max-port=50200"]))
    end = time.monotonic() + 10 * lib.SLOW
    while b"listener opened" not in p.out() and address not in net.run("ss", "-lntH"):
        if not p.running() or time.monotonic() > end:
            raise lib.Failed(f"coturn does not start: {p.err()[-300:]}")
        time.sleep(0.05)
    return p


def watch(env, url, side, what, *options):
    view, reader = env.view_raw(url, SIZE, *options, side=side)
    reader.wait_count(2 * FPS, 30)
    connected = view.events("connected")[-1]
    path = connected["path"].split(",")[0]
    env.check(True, f"{what}: pictures come after {view.events('first-picture')[0]['t_us'] / 1e6:.2f} s: "
                    f"{path}")
    view.end()
    return path


def firewall(env):
    """share 10.1.0.2 -- middle, which forwards TCP alone -- 10.2.0.2 viewer"""
    share, middle, viewer = (nets.Net(env, n) for n in ("share", "middle", "viewer"))
    nets.link(share, "s0", "10.1.0.2/24", middle, "m0", "10.1.0.1/24")
    nets.link(viewer, "v0", "10.2.0.2/24", middle, "m1", "10.2.0.1/24")
    share.ip("route add default via 10.1.0.1")
    viewer.ip("route add default via 10.2.0.1")
    middle.forward(True)
    middle.nft("""table ip wall {
        chain forward { type filter hook forward priority 0; policy drop;
            meta l4proto tcp accept
            meta l4proto udp counter drop
        }
    }""")
    return share, middle, viewer


def test_turn(env):
    share_net, middle, viewer_net = firewall(env)
    alone = env.share(f"test:{W}x{H}@{FPS}", listen="0.0.0.0:0", side=share_net)
    blocked = env.view(alone.url, side=viewer_net)  # waits while the others are tested
    coturn(env, middle, "10.1.0.1", "10.1.0.1")
    share = env.share(f"test:{W}x{H}@{FPS}", "--ice-server", "turn:anna:secret@10.1.0.1",
                      listen="0.0.0.0:0", side=share_net)
    path = watch(env, share.url, viewer_net, "TURN over UDP")
    env.check("relay" in path, "through the relay")
    share.end()
    middle.nft("""table ip wall {
        chain input { type filter hook input priority 0; policy accept;
            udp dport 3478 counter drop
        }
    }""")
    share = env.share(f"test:{W}x{H}@{FPS}", "--ice-server",
                      "turn:anna:secret@10.1.0.1?transport=tcp", listen="0.0.0.0:0", side=share_net)
    path = watch(env, share.url, viewer_net, "TURN over TCP, where UDP to it is blocked as well")
    env.check("relay" in path, "through the relay")
    share.end()
    env.check(blocked.wait(40) == 1, "without a TURN server it ends with status 1")
    env.check("TURN" in blocked.err(), f"and says what may help: {blocked.err().strip()[-160:]}")
    alone.end()


def nat(net, outside):
    """Lets in what answers, and drops the rest without remembering it."""
    net.forward(True)
    net.nft(f"""table ip nat {{
        chain post {{ type nat hook postrouting priority 100; oifname "{outside}" masquerade; }}
        chain pre {{ type nat hook prerouting priority -100; }}
        chain input {{ type filter hook input priority 0;
            iifname "{outside}" ct state new drop
        }}
        chain forward {{ type filter hook forward priority 0;
            iifname "{outside}" ct state new ct status dnat accept
            iifname "{outside}" ct state new drop
        }}
    }}""")


def test_stun(env):
    """share 192.168.1.2 -- NAT 10.0.1.2 -- public, STUN 10.0.1.1 -- 10.0.2.2 NAT -- 192.168.2.2 viewer"""
    share_net, nat_s, public, nat_v, viewer_net = (
        nets.Net(env, n) for n in ("share2", "nat-share", "public", "nat-viewer", "viewer2"))
    nets.link(share_net, "s0", "192.168.1.2/24", nat_s, "in", "192.168.1.1/24")
    nets.link(nat_s, "out", "10.0.1.2/24", public, "p1", "10.0.1.1/24")
    nets.link(nat_v, "out", "10.0.2.2/24", public, "p2", "10.0.2.1/24")
    nets.link(viewer_net, "v0", "192.168.2.2/24", nat_v, "in", "192.168.2.1/24")
    for net, gateway in ((share_net, "192.168.1.1"), (nat_s, "10.0.1.1"), (nat_v, "10.0.2.1"),
                         (viewer_net, "192.168.2.1")):
        net.ip(f"route add default via {gateway}")
    public.forward(True)
    nat(nat_s, "out")
    nat(nat_v, "out")
    coturn(env, public, "10.0.1.1", "10.0.1.1")
    share = env.share(f"test:{W}x{H}@{FPS}", "--ice-server", "stun:10.0.1.1", listen="0.0.0.0:0",
                      side=share_net)
    port = share.url.rsplit(":", 1)[1].split("/")[0]
    nat_s.run("nft", "add", "rule", "ip", "nat", "pre", "iifname", "out", "tcp", "dport", port, "dnat",
              "to", f"192.168.1.2:{port}")
    path = watch(env, f"http://10.0.1.2:{port}/", viewer_net, "STUN, both behind NATs")
    local, remote = path.split(" - ")
    env.check("relay" not in path and "[10.0.1.2]" in remote and "[192.168.2.2]" not in remote,
              f"directly, to the share's address outside: {remote}")
    seen = share.events("connected")[-1]["path"].split(",")[0].split(" - ")[1]
    env.check("[10.0.2.2]" in seen, f"and the share sees the viewer's: {seen}")
    share.end()


def main():
    with lib.Env("TURN and STUN") as env:
        lib.need("turnserver", "nft", "ss")
        test_stun(env)
        test_turn(env)


if __name__ == "__main__":
    main()
