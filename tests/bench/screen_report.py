#!/usr/bin/python3
"""The screen encoder beside others on recorded screens: `make bench`'s table, plot and JSON.

    screen_report.py [--size 1080p,1440p,4k] [--scene NAME,…] [--encoder NAME,…] [--pictures N]
                     [--points N] [--clips DIR] [--output FILE.json] [--from FILE.json]

Records the clips that are not there yet (record_scenes.py), runs bench_screen on each, and prints as it
goes; then a table, the goals as met or missed, the BD-rate against x265 superfast (Bjøntegaard: the
mean difference of the bits at equal PSNR over the range both have, by monotone cubic interpolation),
and on which scenes which encoder needs fewer bits. Writes FILE.json and FILE-SIZE.svg. --from only
reports. Exit status 77: what records is missing. Without options all of it: 40 pictures of 1080p, 24 of
1440p, 12 of 4K, so that it ends: three quarters of an hour on two quiet cores.
"""
import argparse
import json
import math
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SCENES = ("still", "typing", "terminal", "terminal-full", "page", "drag", "switch", "film")
SIZES = {"1080p": ("1920x1080", 40), "1440p": ("2560x1440", 24), "4k": ("3840x2160", 12)}
SWITCH_PICTURES = 32  # two switches back, after the one that is new
ENCODERS = ("screen", "x265-ultrafast", "x265-superfast", "x265-veryfast-umh", "x264-ultrafast",
            "x264-veryfast-umh", "libaom-rt")
REFERENCE = "x265-superfast"
RIVALS = ("x265-superfast", "x265-veryfast-umh")
# scene: what is measured, most CPU ms, most kbit, least PSNR; terminal-full has none
GOALS = {
    "1920x1080": {
        "still": ("still_cpu_ms", .05, None, None),
        "typing": ("cpu_ms", .5, 2.3, 50),
        "terminal": ("cpu_ms", 4, 20, 41),
        "page": ("cpu_ms", 3, 15, 46),
        "drag": ("cpu_ms", 3, 25, 50),
        "switch": ("cpu_ms", 1, 8, None),
        "film": ("cpu_ms", 25, 508, 38.5),
    },
    "3840x2160": {
        "still": ("still_cpu_ms", .1, None, None),
        "typing": ("cpu_ms", .6, None, None),
    },
}
FIRST_CPU_MS = 15
EXACT_MS = 500  # after typing


def bd_rate(ours, theirs):
    """Per cent of bits at equal PSNR; None where the curves do not overlap."""
    def curve(points):
        pairs = sorted({round(p, 2): math.log10(r) for r, p in points if 0 < p < 98 and r > 0}.items())
        return pairs if len(pairs) > 1 and pairs[0][0] < pairs[-1][0] else None
    a, b = curve(ours), curve(theirs)
    if not a or not b:
        return None
    low, high = max(a[0][0], b[0][0]), min(a[-1][0], b[-1][0])
    if high - low < .3:
        return None

    def mean(pairs):
        # Fritsch-Carlson slopes: monotone between the points, unlike one cubic through all.
        x, y = zip(*pairs)
        n = len(x)
        d = [(y[i + 1] - y[i]) / (x[i + 1] - x[i]) for i in range(n - 1)]
        m = [d[0]] + [0 if d[i - 1] * d[i] <= 0 else 2 / (1 / d[i - 1] + 1 / d[i])
                      for i in range(1, n - 1)] + [d[-1]]
        total, steps = 0, 400
        for k in range(steps):
            v = low + (high - low) * (k + .5) / steps
            i = max(j for j in range(n - 1) if x[j] <= v or j == 0)
            h, t = x[i + 1] - x[i], (v - x[i]) / (x[i + 1] - x[i])
            total += ((1 + 2 * t) * (1 - t) ** 2 * y[i] + t * (1 - t) ** 2 * h * m[i] +
                      t * t * (3 - 2 * t) * y[i + 1] + t * t * (t - 1) * h * m[i + 1])
        return total / steps
    return 100 * (10 ** (mean(a) - mean(b)) - 1)


def rows_of(rows, **wanted):
    return [r for r in rows if all(r[k] == v for k, v in wanted.items())]


def print_table(rows, size):
    print("\n%s   of the pictures that changed: CPU ms and p95 of the time by the clock (ms), kbit, PSNR-Y "
          "of\ntheir mean squared error; the first picture; a still call's CPU ms; PSNR-Y at the end, "
          "until exact" % size)
    form = "%-13s %-18s %5s %8s %8s %9s %7s %9s %9s %7s %8s %7s %8s"
    print(form % ("scene", "encoder", "point", "CPU", "p95", "kbit", "PSNR-Y", "first CPU", "kbit",
                  "PSNR-Y", "still", "at end", "exact"))
    for scene in SCENES:
        for r in rows_of(rows, size=size, scene=scene):
            exact = "never" if r["exact_after_ms"] < 0 else "%d ms" % r["exact_after_ms"]
            print(form % (scene, r["encoder"], r["point"], "%.2f" % r["cpu_ms"],
                          "%.2f" % r["wall_ms_p95"], "%.1f" % r["kbit"], "%.2f" % r["psnr_y"],
                          "%.1f" % r["first_cpu_ms"], "%.0f" % r["first_kbit"],
                          "%.2f" % r["first_psnr_y"], "%.3f" % r["still_cpu_ms"],
                          "%.1f" % r["end_psnr_y"], exact))


def at_psnr(points, psnr, keys=("psnr_y", "kbit", "cpu_ms")):
    """(kbit, CPU) at a PSNR, between the points around it; None above the best. Where the next
    better point is exact, that one: between it and the others nothing is known."""
    pairs = sorted(tuple(r[k] for k in keys) for r in points)
    for lo, hi in zip([None] + pairs, pairs):
        if hi[0] < psnr:
            continue
        if lo is None or hi[0] >= 98 or hi[0] - lo[0] < .01:
            return hi[1:]
        t = (psnr - lo[0]) / (hi[0] - lo[0])
        return (math.exp(math.log(lo[1]) * (1 - t) + math.log(hi[1]) * t),
                lo[2] + t * (hi[2] - lo[2]))
    return None


def verdict(rows, size, scene, goal):
    """Text and whether met, at the PSNR that the goal names; None: not measured."""
    key, cpu, kbit, psnr = goal
    points = rows_of(rows, size=size, scene=scene, encoder="screen")
    if not points:
        return None
    best = min(points, key=lambda r: r["point"])
    had = at_psnr(points, psnr, ("psnr_y", "kbit", key)) if psnr else (best["kbit"], best[key])
    if had is None:
        return "%g dB-Y is not reached" % psnr, False
    met = had[1] <= cpu and (kbit is None or had[0] <= kbit)
    text = "%.3g ms (goal %g)" % (had[1], cpu)
    if kbit is not None:
        text += ", %.1f kbit (goal %g)" % (had[0], kbit)
    if psnr is not None:
        text += " at %g dB-Y" % psnr
    if scene == "typing":
        # At 10 Mb/s, the second point: a keystroke is a twentieth of what comes in 500 ms.
        exact = max((r["exact_after_ms"] if r["exact_after_ms"] >= 0 else math.inf)
                    for r in points if r["point"] <= 1)
        text += ", exact %g ms after the last (goal %d)" % (exact, EXACT_MS)
        met = met and exact <= EXACT_MS
    return text, met


def first_verdicts(rows, size):
    for scene in ("typing", "terminal-full", "page"):
        points = rows_of(rows, size=size, scene=scene, encoder="screen")
        if not points:
            continue
        ms = max(r["first_cpu_ms"] for r in points if r["point"] <= 1)
        curves = [[(r["first_kbit"], r["first_psnr_y"])
                   for r in rows_of(rows, size=size, scene=scene, encoder=e)]
                  for e in ("screen", REFERENCE)]
        bd = bd_rate(*curves)
        yield ("first, " + scene, "%.1f ms (goal %d), bits %s against %s" % (
            ms, FIRST_CPU_MS, "%+.0f %%" % bd if bd is not None else "not comparable", REFERENCE),
            ms <= FIRST_CPU_MS and bd is not None and bd <= 0)


def verdicts(rows, size):
    """The goals' rows: scene, text and whether met."""
    out = []
    for scene, goal in GOALS.get(size, {}).items():
        said = verdict(rows, size, scene, goal)
        if said:
            out.append((scene, *said))
    if size == "1920x1080":
        out += first_verdicts(rows, size)
    return out


def print_bd(rows, size):
    print("\nBits at equal PSNR-Y against %s (BD-rate; less is better)" % REFERENCE)
    for encoder in ENCODERS:
        if encoder == REFERENCE:
            continue
        for scene in SCENES:
            for what, keys in (("", ("kbit", "psnr_y")),
                               (", first", ("first_kbit", "first_psnr_y"))):
                curves = [[(r[keys[0]], r[keys[1]]) for r in rows_of(rows, size=size, scene=scene,
                                                                    encoder=e)]
                          for e in (encoder, REFERENCE)]
                bd = bd_rate(*curves) if min(map(len, curves)) >= 4 else None
                if bd is not None:
                    print("  %-18s %-20s %+.0f %%" % (encoder, scene + what, bd))


def rivals(rows, size):
    """Scene by scene, at each point of a rival: does `screen` need fewer bits for the same PSNR?"""
    out = []
    for scene in SCENES:
        ours = rows_of(rows, size=size, scene=scene, encoder="screen")
        for rival in RIVALS:
            worst, mean, n = -math.inf, 0, 0
            for r in rows_of(rows, size=size, scene=scene, encoder=rival):
                had = at_psnr(ours, r["psnr_y"]) if ours and r["kbit"] > 0 else None
                if had:
                    change = 100 * (had[0] / r["kbit"] - 1)
                    worst, mean, n = max(worst, change), mean + change, n + 1
            if n:
                out.append({"size": size, "scene": scene, "rival": rival, "points": n,
                            "mean_percent": round(mean / n, 1), "worst_percent": round(worst, 1),
                            "better": worst <= 0})
    return out


def print_rivals(found):
    print("\nBits of `screen` at the PSNR-Y of each point of x265 (auto: without exception fewer)")
    for r in found:
        print("  %-7s %-13s against %-18s mean %+5.0f %%, worst %+5.0f %% (%d points)" % (
            "fewer" if r["better"] else "MORE", r["scene"], r["rival"], r["mean_percent"],
            r["worst_percent"], r["points"]))


def plot(rows, size, path):
    """PSNR over bits, a frame for each scene."""
    colours = ("#c03020", "#2060c0", "#30a0d0", "#104080", "#e09020", "#907010", "#30a040", "#888")
    names = sorted({r["encoder"] for r in rows}, key=lambda n: (n != "screen", n))
    w, h, parts = 330, 260, []
    scenes = [s for s in SCENES if rows_of(rows, size=size, scene=s) and s != "still"]
    for n, scene in enumerate(scenes):
        ox, oy = 50 + n % 3 * (w + 50), 30 + n // 3 * (h + 60)
        mine = [r for r in rows_of(rows, size=size, scene=scene) if r["kbit"] > 0 and r["psnr_y"] > 0]
        if not mine:
            continue
        x0, x1 = (f(math.log10(r["kbit"]) for r in mine) for f in (min, max))
        y0, y1 = (f(min(r["psnr_y"], 70) for r in mine) for f in (min, max))
        x1, y1 = max(x1, x0 + .1), max(y1, y0 + 1)
        parts.append('<text x="%d" y="%d" font-weight="bold">%s</text>'
                     '<rect x="%d" y="%d" width="%d" height="%d" fill="none" stroke="#aaa"/>'
                     % (ox, oy - 6, scene, ox, oy, w, h))
        for f in (0, .5, 1):
            parts.append('<text x="%d" y="%d" text-anchor="middle">%.3g</text>'
                         '<text x="%d" y="%d" text-anchor="end">%.1f</text>'
                         % (ox + f * w, oy + h + 14, 10 ** (x0 + f * (x1 - x0)), ox - 4,
                            oy + h - f * h + 4, y0 + f * (y1 - y0)))
        for i, name in enumerate(names):
            points = sorted((math.log10(r["kbit"]), min(r["psnr_y"], 70))
                            for r in mine if r["encoder"] == name)
            places = ["%.1f,%.1f" % (ox + (x - x0) / (x1 - x0) * w,
                                     oy + h - (y - y0) / (y1 - y0) * h) for x, y in points]
            c = colours[i % len(colours)]
            parts.append('<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>'
                         % (" ".join(places), c))
            parts += ['<circle cx="%s" cy="%s" r="3" fill="%s"/>' % (*p.split(","), c) for p in places]
    for i, name in enumerate(names):
        parts.append('<text x="%d" y="%d" fill="%s">%s</text>'
                     % (50 + i * 150, 30 + (len(scenes) + 2) // 3 * (h + 60), colours[i % 8], name))
    with open(path, "w", encoding="utf-8") as f:
        f.write('<svg xmlns="http://www.w3.org/2000/svg" width="1210" height="%d" font-family='
                '"sans-serif" font-size="11"><rect width="100%%" height="100%%" fill="white"/>\n'
                '<text x="50" y="12">%s: PSNR-Y in dB (70: exact) over kbit a changed picture</text>\n%s\n'
                '</svg>\n' % (60 + (len(scenes) + 2) // 3 * (h + 60), size, "\n".join(parts)))


def run(argv, size, rows, progress):
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as p:
        for line in p.stdout:
            rows.append(dict(json.loads(line), size=size))
            print("%s %s" % (progress(), "%(size)s %(scene)s %(encoder)s %(point)d: %(cpu_ms).2f ms, "
                             "%(kbit).1f kbit, %(psnr_y).2f dB" % rows[-1]), file=sys.stderr, flush=True)
    return p.returncode == 0


def measure(args):
    rows, since, done = [], time.monotonic(), [0]
    sizes = [SIZES.get(s.lower(), (s, 40)) for s in args.size.split(",")]
    scenes, encoders = args.scene.split(","), args.encoder.split(",")
    of = len(sizes) * len(scenes) * len(encoders)

    def progress():
        return "[%d:%02d, %d/%d]" % (*divmod(int(time.monotonic() - since), 60), done[0], of)
    for size, pictures in sizes:
        pictures = args.pictures or pictures
        for scene in scenes:
            n = max(pictures, SWITCH_PICTURES) if scene == "switch" and not args.pictures else pictures
            clips = os.path.join(args.clips, "switch") if n != pictures else args.clips
            rc = subprocess.run([os.path.join(HERE, "record_scenes.py"), "--size", size, "--scenes",
                                 scene, "--pictures", str(n), clips]).returncode
            if rc:
                sys.exit(rc)
            for encoder in encoders:
                done[0] += 1
                if not run([os.environ.get("BENCH_SCREEN", "bench_screen"), "--points",
                            str(args.points), os.path.join(clips, size, scene + ".nut"), encoder],
                           size, rows, progress):
                    print("screen_report: %s failed on %s" % (encoder, scene), file=sys.stderr)
    return rows


def report(rows, output):
    sizes = sorted({r["size"] for r in rows}, key=lambda s: int(s.split("x")[0]))
    goals, found = [], []
    for size in sizes:
        print_table(rows, size)
        print_bd(rows, size)
        found += rivals(rows, size)
        print_rivals([r for r in found if r["size"] == size])
        said = verdicts(rows, size)
        if said:
            print("\nGoals at " + size)
        for scene, text, met in said:
            print("  %-7s %-20s %s" % ("met" if met else "MISSED", scene, text))
            goals.append({"size": size, "scene": scene, "text": text, "met": met})
    if output:
        os.makedirs(os.path.dirname(os.path.abspath(output)), exist_ok=True)
        with open(output, "w", encoding="utf-8") as f:
            json.dump({"rows": rows, "goals": goals, "rivals": found}, f, indent=1)
        for size in sizes:
            plot(rows, size, os.path.splitext(output)[0] + "-%s.svg" % size)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", default=",".join(SIZES))
    parser.add_argument("--scene", default=",".join(SCENES))
    parser.add_argument("--encoder", default=",".join(ENCODERS))
    parser.add_argument("--pictures", type=int, default=0)
    parser.add_argument("--points", type=int, default=6)
    parser.add_argument("--clips", default="clips")
    parser.add_argument("--output")
    parser.add_argument("--from", dest="source")
    args = parser.parse_args()
    if args.source:
        with open(args.source, encoding="utf-8") as f:
            rows = json.load(f)["rows"]
    else:
        rows = measure(args)
    report(rows, args.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
