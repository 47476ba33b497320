#!/usr/bin/python3
"""The screen encoder beside others on recorded screens: `make bench`'s table, plot and JSON.

    screen_report.py [--sizes 1920x1080,…] [--pictures 60] [--points 4] [--encoders NAME,…]
                     [--clips DIR] [--output FILE.json] [--from FILE.json]

Records the clips that are not there yet (record_scenes.py), runs bench_screen on them, prints a
table, the goals as met or missed, and the BD-rate against x265 superfast (Bjøntegaard: the mean
difference of the bits at equal PSNR over the range both have, by cubic interpolation), and writes
FILE.json and FILE.svg. --from only reports. Exit status 77: what records is missing.
"""
import argparse
import json
import math
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SCENES = ("still", "typing", "terminal", "page", "drag", "switch", "film")
REFERENCE = "x265-superfast"
# scene: what is measured, most CPU ms at 1080p, most kbit, least PSNR
GOALS = {
    "still": ("still_cpu_ms", .05, None, None),
    "typing": ("cpu_ms", .5, 2.3, 50),
    "terminal": ("cpu_ms", 4, 20, 41),
    "page": ("cpu_ms", 3, 15, 46),
    "drag": ("cpu_ms", 3, 25, 50),
    "switch": ("cpu_ms", 1, 8, None),
    "film": ("cpu_ms", 25, 508, 38.5),
}
FIRST_CPU_MS = 15


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
    print("\n%s   CPU of the pictures that changed, one thread; ms" % size)
    form = "%-9s %-18s %5s %8s %8s %9s %7s %9s %9s %7s %8s %7s %7s"
    print(form % ("scene", "encoder", "point", "CPU", "p95", "kbit", "PSNR-Y", "first CPU", "kbit",
                  "PSNR-Y", "still", "at end", "exact"))
    for scene in SCENES:
        for r in rows_of(rows, size=size, scene=scene):
            exact = "never" if r["exact_after_ms"] < 0 else "%d ms" % r["exact_after_ms"]
            print(form % (scene, r["encoder"], r["point"], "%.2f" % r["cpu_ms"],
                          "%.2f" % r["cpu_ms_p95"], "%.1f" % r["kbit"], "%.2f" % r["psnr_y"],
                          "%.1f" % r["first_cpu_ms"], "%.0f" % r["first_kbit"],
                          "%.2f" % r["first_psnr_y"], "%.3f" % r["still_cpu_ms"],
                          "%.1f" % r["end_psnr_y"], exact))


def at_psnr(points, psnr):
    """(kbit, CPU) at a PSNR, between the points around it; of the coarsest point that is better
    where all are."""
    pairs = sorted((r["psnr_y"], r["kbit"], r["cpu_ms"]) for r in points)
    for lo, hi in zip(pairs, pairs[1:]):
        if lo[0] < psnr <= hi[0]:
            t = (psnr - lo[0]) / (hi[0] - lo[0])
            return tuple(lo[k] + t * (hi[k] - lo[k]) for k in (1, 2))
    return pairs[0][1:] if pairs and pairs[0][0] >= psnr else None


def verdicts(rows, size):
    """The goals' rows: text and whether met, at the PSNR that the goal names."""
    out = []
    for scene, (key, cpu, kbit, psnr) in GOALS.items():
        points = rows_of(rows, size=size, scene=scene, encoder="screen")
        if not points:
            continue
        best = min(points, key=lambda r: r["point"])
        if psnr is None:
            had = (best["kbit"], best[key])
        else:
            had = at_psnr(points, psnr)
        if had is None:
            out.append((scene, "%g dB-Y is not reached" % psnr, False))
            continue
        met = had[1] <= cpu and (kbit is None or had[0] <= kbit)
        text = "%.2f ms (goal %g)" % (had[1], cpu)
        if kbit is not None:
            text += ", %.1f kbit (goal %g)" % (had[0], kbit)
        if psnr is not None:
            text += " at %.1f dB-Y or more" % psnr
        out.append((scene, text, met))
    firsts = [r for r in rows_of(rows, size=size, encoder="screen")
              if r["scene"] in ("typing", "terminal", "page") and r["point"] == 0]
    for r in firsts:
        ms = r["first_cpu_ms"]
        out.append(("first, " + r["scene"], "%.1f ms (goal %d), %.0f kbit, %.2f dB-Y" % (
            ms, FIRST_CPU_MS, r["first_kbit"], r["first_psnr_y"]), ms <= FIRST_CPU_MS))
    return out


def print_bd(rows, size):
    print("\nBits at equal PSNR-Y against %s (BD-rate; less is better)" % REFERENCE)
    for scene in SCENES:
        for what, keys in (("", ("kbit", "psnr_y")), (", first", ("first_kbit", "first_psnr_y"))):
            curves = [[(r[keys[0]], r[keys[1]]) for r in rows_of(rows, size=size, scene=scene,
                                                                encoder=e)]
                      for e in ("screen", REFERENCE)]
            bd = bd_rate(*curves)
            if bd is not None:
                print("  %-16s %+.0f %%" % (scene + what, bd))


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


def measure(args):
    rows = []
    for size in args.sizes.split(","):
        rc = subprocess.run([os.path.join(HERE, "record_scenes.py"), "--size", size, "--pictures",
                             str(args.pictures), args.clips]).returncode
        if rc:
            sys.exit(rc)
        argv = [os.environ.get("BENCH_SCREEN", "bench_screen"), "--points", str(args.points),
                os.path.join(args.clips, size)]
        if args.encoders:
            argv += args.encoders.split(",")
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as p:
            for line in p.stdout:
                rows.append(dict(json.loads(line), size=size))
                r = rows[-1]
                print("%(size)s %(scene)s %(encoder)s %(point)d: %(cpu_ms).2f ms, %(kbit).1f kbit, "
                      "%(psnr_y).2f dB" % r, file=sys.stderr)
        if p.returncode:
            print("screen_report: some encoders failed at " + size, file=sys.stderr)
    return rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", default="1920x1080")
    parser.add_argument("--pictures", type=int, default=60)
    parser.add_argument("--points", type=int, default=4)
    parser.add_argument("--encoders", default="")
    parser.add_argument("--clips", default="clips")
    parser.add_argument("--output")
    parser.add_argument("--from", dest="source")
    args = parser.parse_args()
    if args.source:
        with open(args.source, encoding="utf-8") as f:
            rows = json.load(f)["rows"]
    else:
        rows = measure(args)
    sizes = sorted({r["size"] for r in rows})
    report = []
    for size in sizes:
        print_table(rows, size)
        print_bd(rows, size)
        if size == "1920x1080":
            print("\nGoals")
            for scene, text, met in verdicts(rows, size):
                print("  %-7s %-16s %s" % ("met" if met else "MISSED", scene, text))
                report.append({"scene": scene, "text": text, "met": met})
    if args.output:
        os.makedirs(os.path.dirname(os.path.abspath(args.output)), exist_ok=True)
        with open(args.output, "w", encoding="utf-8") as f:
            json.dump({"rows": rows, "goals": report}, f, indent=1)
        for size in sizes:
            plot(rows, size, os.path.splitext(args.output)[0] + "-%s.svg" % size)
    return 0


if __name__ == "__main__":
    sys.exit(main())
