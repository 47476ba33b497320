#!/usr/bin/python3
"""What `make install` puts there is whole: the program runs from its new place, a program that brings
its own frames builds against header, library and pkg-config file alone, and the library shows the
names of its header and no other."""
import os
import re
import subprocess

import lib

SOURCE = os.path.normpath(os.path.join(lib.HERE, "..", ".."))
BUILD = os.environ.get("BUILD_ROOT", lib.BUILD)


def output(*command, **env):
    p = subprocess.run(command, capture_output=True, timeout=120, check=False, env={**os.environ, **env})
    return p.returncode, p.stdout.decode() + p.stderr.decode()


def exported(library):
    status, text = output("nm", "-D", "--defined-only", library)
    assert status == 0, text
    names = {line.split()[-1].split("@")[0] for line in text.splitlines() if line.split()[-2] in "TDBRV"}
    return names - {"__bss_start", "_edata", "_end"}  # the linker's own


def main():
    lib.need("meson", "pkg-config", "cc", "nm")
    with lib.Env("the installed files") as env:
        root = env.path("root")
        status, text = output("meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", root)
        env.check(status == 0, f"meson install ends with 0 {text if status else ''}")
        files = {name: os.path.join(at, name) for at, _, names in os.walk(root) for name in names}
        wanted = {"hevcast", "hevcast.h", "hevcast.pc", "hevcast.1", "libhevcast.so"}
        env.check(wanted <= files.keys(), f"{sorted(files)} are there")

        where = os.path.dirname(files["libhevcast.so"])
        status, text = output(files["hevcast"], "--version", LD_LIBRARY_PATH=where)
        env.check(status == 0 and re.match(r"hevcast \d+\.\d+\.\d+\n", text), f"--version: {text.strip()}")
        status, text = output("ldd", files["hevcast"], LD_LIBRARY_PATH=where)
        env.check(f"=> {where}/libhevcast.so" in text, "the program takes the library that was installed")

        pkg = {"PKG_CONFIG_PATH": os.path.dirname(files["hevcast.pc"]), "PKG_CONFIG_SYSROOT_DIR": root}
        status, flags = output("pkg-config", "--cflags", "--libs", "hevcast", **pkg)
        env.check(status == 0, f"pkg-config: {flags.strip()}")
        program = env.path("send_file")
        status, text = output("cc", "-Wall", "-Werror", "-o", program,
                              os.path.join(SOURCE, "examples", "send_file.c"), *flags.split())
        env.check(status == 0, f"an example builds against what is installed {text}")
        status, text = output(program, LD_LIBRARY_PATH=where)
        env.check(status == 2 and text.startswith("usage:"), "and runs")

        with open(files["hevcast.h"], encoding="utf-8") as f:
            declared = set(re.findall(r"\b(hevcast_\w+)\(", f.read()))
        names = exported(files["libhevcast.so"])
        env.check(names <= declared and len(names) > 10, f"{len(names)} names are exported, all of them the header's "
                  f"{sorted(names - declared)}")


if __name__ == "__main__":
    main()
