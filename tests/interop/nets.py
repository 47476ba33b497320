"""Networks made of namespaces: for tests of what happens when addresses and routes change.

    net = nets.Net(env, "viewer")             a namespace; it vanishes with its holder process
    nets.link(a, "eth0", "10.1.0.2/24", b, "east", "10.1.0.1/24")
    net.ip("addr del 10.1.0.2/24 dev eth0")
    env.share(..., side=net)

Each needs root; without the privilege the test is skipped, loudly.
"""
import os
import subprocess
import time

import lib


class Net:
    def __init__(self, env, name):
        lib.need("unshare", "nsenter", "ip")
        self.name = name
        self.holder = env.spawn("net-" + name, ["unshare", "--net", "sleep", "infinity"])
        self.path = f"/proc/{self.holder.pid}/ns/net"
        end = time.monotonic() + 5 * lib.SLOW
        while self._same():
            if not self.holder.running() or time.monotonic() > end:
                lib.skip(f"no network namespace can be made: {self.holder.err().strip()}; root is needed")
            time.sleep(0.01)
        try:
            self.ip("link set lo up")
        except lib.Failed as e:
            lib.skip(f"a network namespace cannot be entered: {e}")

    def _same(self):
        try:
            return os.stat(self.path).st_ino == os.stat("/proc/self/ns/net").st_ino
        except OSError:
            return True

    def wrap(self, argv):
        """The process keeps its pid: nsenter becomes the program."""
        return ["nsenter", f"--net={self.path}", "--", *[str(a) for a in argv]]

    def run(self, *argv, given=None):
        r = subprocess.run(self.wrap(argv), capture_output=True, text=True, timeout=20 * lib.SLOW,
                           input=given)
        if r.returncode:
            raise lib.Failed(f"{self.name}: {' '.join(argv)}: {r.stderr.strip()}")
        return r.stdout

    def ip(self, command):
        return self.run("ip", *command.split())

    def forward(self, on):
        self.run("sysctl", "-q", "-w", f"net.ipv4.ip_forward={int(on)}")

    def nft(self, rules):
        lib.need("nft")
        try:
            self.run("nft", "-f", "-", given=rules)
        except lib.Failed as e:
            lib.skip(f"nftables does not work here: {e}")


def link(a, a_name, a_address, b, b_name, b_address):
    """A cable between two namespaces."""
    a.ip(f"link add {a_name} type veth peer name {b_name} netns {b.holder.pid}")
    for net, name, address in ((a, a_name, a_address), (b, b_name, b_address)):
        net.ip(f"addr add {address} dev {name}")
        net.ip(f"link set {name} up")
