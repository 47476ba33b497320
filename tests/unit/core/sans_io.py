#!/usr/bin/env python3
"""The core is sans-IO: its static library may not refer to clocks, sockets, files, threads, GLib,
logging or randomness.  usage: sans_io.py NM LIBRARY [--must-find]

--must-find turns it round, for a library that does all this: it shows that the check works."""
import re
import subprocess
import sys

FORBIDDEN = re.compile(r"""^(
    clock_.* | gettimeofday | time | nanosleep | usleep | sleep | timer.* | localtime.* |
    socket.* | bind | listen | accept4? | connect | send | sendto | sendmm?sg | recv | recvfrom |
    recvmm?sg | p?poll | p?select | epoll_.* | eventfd | pipe2? | ioctl | fcntl.* | getaddrinfo |
    f?open(64)? | openat | close | read | write | fread | fwrite | f?printf | perror | puts | putc.* |
    pthread_.* | thrd_.* | mtx_.* | cnd_.* | sem_.* | g_.* | getenv | secure_getenv | s?rand(_r)? |
    random | getrandom | getentropy | log_.* | error_set | error_text | exit | abort | __assert_fail
)$""", re.VERBOSE)


def main():
    nm, library = sys.argv[1], sys.argv[2]
    text = subprocess.run([nm, "--undefined-only", library], check=True, capture_output=True,
                          text=True).stdout
    found, member, symbols = [], "", 0
    for line in text.splitlines():
        if line.endswith(":"):
            member = line[:-1]
        elif line.split():
            symbols += 1
            name = line.split()[-1].split("@")[0]
            if FORBIDDEN.match(name):
                found.append(f"{member} refers to {name}")
    if symbols == 0:
        sys.exit(f"{library}: nm shows no symbols at all")
    if "--must-find" in sys.argv:
        sys.exit(0 if found else f"{library}: the check finds nothing in it")
    if found:
        sys.exit("the core is sans-IO, but\n  " + "\n  ".join(found))


main()
