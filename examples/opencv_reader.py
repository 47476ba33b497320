#!/usr/bin/env python3
"""Reads what `hevcast view` decodes, picture by picture, as the BGR arrays of OpenCV.

    hevcast view URL --no-window -q --y4m - | python3 opencv_reader.py
    hevcast view URL --no-window -q --raw - --pix-fmt bgr24 | python3 opencv_reader.py 1920x1080

The first form knows the size by itself, from the header. The second must be told it, and leaves
the conversion to hevcast. --show opens a window; without it, the size and the mean colour of
each picture are printed. See doc/python-opencv.md.
"""
import sys

import cv2
import numpy as np

# BT.709 in limited range, which is what hevcast writes, to B, G, R: columns are Y, U, V and 1.
# (cv2.COLOR_YUV2BGR_I420 would take it for BT.601, and reds and greens would be off.)
Y, UB, UG, VG, VR = 1.164384, 2.112402, -0.213249, -0.532909, 1.792741
BT709 = np.array([[Y, UB, 0, -16 * Y - 128 * UB],
                  [Y, UG, VG, -16 * Y - 128 * (UG + VG)],
                  [Y, 0, VR, -16 * Y - 128 * VR]], np.float32)


def read_exactly(stream, size):
    """That many bytes, or None at the end: a pipe gives them in pieces of its own choice."""
    data = bytearray(size)
    view, at = memoryview(data), 0
    while at < size:
        n = stream.readinto(view[at:])
        if not n:
            return None
        at += n
    return data


def raw_pictures(stream, width, height):
    """Of --raw - --pix-fmt bgr24: height rows of width pixels of 3 bytes, nothing between."""
    while (data := read_exactly(stream, width * height * 3)) is not None:
        yield np.frombuffer(data, np.uint8).reshape(height, width, 3)


def y4m_pictures(stream):
    """Of --y4m -: a header line, then for each picture the line FRAME and the planes."""
    header = stream.readline().split()
    if not header or header[0] != b"YUV4MPEG2":
        raise ValueError("this is not Y4M; is --y4m - given, or the size missing here?")
    tags = {field[:1]: field[1:].decode() for field in header[1:]}
    width, height = int(tags[b"W"]), int(tags[b"H"])
    full_chroma = tags.get(b"C", "420").startswith("444")
    cw, ch = (width, height) if full_chroma else ((width + 1) // 2, (height + 1) // 2)
    while stream.readline().startswith(b"FRAME"):
        data = read_exactly(stream, width * height + 2 * cw * ch)
        if data is None:
            return
        flat = np.frombuffer(data, np.uint8)
        y, u, v = np.split(flat, [width * height, width * height + cw * ch])
        planes = [y.reshape(height, width)]
        for chroma in (u.reshape(ch, cw), v.reshape(ch, cw)):
            if not full_chroma:
                chroma = chroma.repeat(2, 0).repeat(2, 1)[:height, :width]
            planes.append(chroma)
        yield cv2.transform(cv2.merge(planes), BT709)


def main():
    show = "--show" in sys.argv
    size = [a for a in sys.argv[1:] if a != "--show"]
    stream = sys.stdin.buffer
    if size:
        width, height = (int(n) for n in size[0].split("x"))
        pictures = raw_pictures(stream, width, height)
    else:
        pictures = y4m_pictures(stream)
    for number, picture in enumerate(pictures):
        if show:
            cv2.imshow("hevcast", picture)
            if cv2.waitKey(1) == ord("q"):
                break
        else:
            blue, green, red, _ = cv2.mean(picture)
            print(f"picture {number}: {picture.shape[1]}x{picture.shape[0]}, "
                  f"mean red {red:.1f} green {green:.1f} blue {blue:.1f}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except (KeyboardInterrupt, BrokenPipeError):
        pass
