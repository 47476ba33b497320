#!/usr/bin/env python3
"""embed.py OUT.c FILE…: the page's files as C arrays, compressed, for src/signal/web_page.h.

index.html is the page itself; every other file is served as static/NAME. An ETag is the contents'
hash."""
import gzip
import hashlib
import os
import sys

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
}


def array(data):
    lines = []
    for i in range(0, len(data), 24):
        lines.append("    " + ",".join(str(b) for b in data[i:i + 24]) + ",")
    return "\n".join(lines)


def main():
    out, files = sys.argv[1], sys.argv[2:]
    parts, rows = [], []
    for i, path in enumerate(sorted(files, key=os.path.basename)):
        with open(path, "rb") as f:
            data = f.read()
        name = os.path.basename(path)
        packed = gzip.compress(data, 9, mtime=0)
        tag = hashlib.sha256(data).hexdigest()[:20]
        kind = TYPES[os.path.splitext(name)[1]]
        parts.append(f"static const unsigned char file_{i}[] = {{\n{array(packed)}\n}};\n")
        served = "" if name == "index.html" else name
        rows.append(f'    {{"{served}", "{kind}", "\\"{tag}\\"", file_{i}, sizeof file_{i}}},')
    with open(out, "w", encoding="utf-8") as f:
        f.write("/* Written by web/embed.py. */\n#include \"signal/web_page.h\"\n\n")
        f.write("\n".join(parts))
        f.write("\nconst struct web_file web_files[] = {\n" + "\n".join(rows) + "\n};\n")
        f.write(f"const int web_file_count = {len(rows)};\n")


main()
