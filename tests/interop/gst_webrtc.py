"""What the GStreamer peers have in common: webrtcbin and SDP in a blocking style.

webrtcbin answers through promises. Descriptions are handed around as text: the boxed objects inside
a reply belong to the reply, and PyGObject crashes when one outlives it.
"""
import os
import re
import sys
import threading
import time

try:
    import gi
    gi.require_version("Gst", "1.0")
    gi.require_version("GstWebRTC", "1.0")
    gi.require_version("GstSdp", "1.0")
    gi.require_version("GstVideo", "1.0")
    from gi.repository import GLib, Gst, GstSdp, GstVideo, GstWebRTC  # noqa: F401
except (ImportError, ValueError) as e:
    print(f"SKIP: GStreamer's Python bindings are missing: {e}", file=sys.stderr)
    sys.exit(77)

Gst.init(None)
NEEDED = ("webrtcbin", "nicesrc", "dtlsenc", "srtpenc", "rtph265pay", "rtph265depay", "h265parse",
          "avdec_h265", "x265enc", "videoconvert", "fdsink")


def require(*more):
    """Ends the program with the exit status of a skipped test when an element is missing."""
    missing = [n for n in NEEDED + more if not Gst.ElementFactory.find(n)]
    if missing:
        print("SKIP: GStreamer elements are missing: " + " ".join(missing), file=sys.stderr)
        sys.exit(77)


# webrtcbin's agent is a floating reference: Python would take it along when its own goes.
_ice_agents = []


def add_loopback(webrtc):
    """libnice gathers no loopback address by itself. With only loopback up there would be no candidate at
    all; an address given by hand replaces gathering, so it is given only then."""
    if not has_other_interface():
        ice = webrtc.get_property("ice-agent")
        _ice_agents.append(ice)
        ice.emit("add-local-ip-address", "127.0.0.1")


def has_other_interface():
    """Is there an interface up besides lo? /proc/net/route lists IPv4 routes, if_inet6 addresses."""
    with open("/proc/net/route") as f:
        if any(line.split()[0] != "lo" for line in f.readlines()[1:]):
            return True
    try:
        with open("/proc/net/if_inet6") as f:
            return any(line.split()[5] != "lo" for line in f)
    except OSError:
        return False


def _ask(webrtc, signal, *args):
    promise = Gst.Promise.new()
    webrtc.emit(signal, *args, promise)
    if promise.wait() != Gst.PromiseResult.REPLIED:
        raise RuntimeError(f"webrtcbin: {signal}: no reply")
    reply = promise.get_reply()
    if reply and reply.has_field("error"):
        raise RuntimeError(f"webrtcbin: {signal}: {reply.to_string()}")
    return promise


def _text(description):
    """description.sdp points into the description, which therefore must have a name meanwhile."""
    return description.sdp.as_text()


def create(webrtc, kind):
    """kind is "offer" or "answer"; returns SDP text."""
    promise = _ask(webrtc, f"create-{kind}", None)
    reply = promise.get_reply()  # named: it must outlive the description
    return _text(reply.get_value(kind))


def set_description(webrtc, which, kind, text):
    """which is "local" or "remote"."""
    ret, sdp = GstSdp.SDPMessage.new_from_text(text)
    if ret != GstSdp.SDPResult.OK:
        raise RuntimeError("SDP cannot be parsed")
    types = {"offer": GstWebRTC.WebRTCSDPType.OFFER, "answer": GstWebRTC.WebRTCSDPType.ANSWER}
    description = GstWebRTC.WebRTCSessionDescription.new(types[kind], sdp)
    _ask(webrtc, f"set-{which}-description", description)


def gathered_local(webrtc, timeout_s=5):
    """The local description with all candidates in it."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if webrtc.get_property("ice-gathering-state") == \
                GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            break
        time.sleep(0.005)
    else:
        raise RuntimeError("webrtcbin: gathering candidates did not end")
    return _text(webrtc.get_property("local-description"))


def tamper_fingerprint(sdp):
    """Changes the last hexadecimal digit of each a=fingerprint line."""
    def change(m):
        return m.group(1) + ("0" if m.group(2) != "0" else "1")
    return re.sub(r"(a=fingerprint:sha-256 [0-9A-Fa-f:]*)([0-9A-Fa-f])", change, sdp)


def connection_state(webrtc):
    return webrtc.get_property("connection-state").value_nick


class Loop:
    """GLib's main loop on a thread, so that the rest can be written in order."""

    def __init__(self):
        self.loop = GLib.MainLoop()
        self.thread = threading.Thread(target=self.loop.run, daemon=True)
        self.thread.start()

    def stop(self):
        self.loop.quit()
        self.thread.join(2)


def log(*words):
    if os.environ.get("GST_PEER_LOG"):
        print(f"[{time.monotonic():.3f}]", *words, file=sys.stderr, flush=True)
