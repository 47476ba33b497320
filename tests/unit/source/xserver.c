#include "xserver.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGS_MAX = 32, START_TIMEOUT_MS = 20000 };

static bool in_path(const char *program)
{
    char path[4096], *save = NULL;
    snprintf(path, sizeof path, "%s", getenv("PATH") ? getenv("PATH") : "/usr/bin:/bin");
    for (char *dir = strtok_r(path, ":", &save); dir; dir = strtok_r(NULL, ":", &save)) {
        char file[4400];
        snprintf(file, sizeof file, "%s/%s", dir, program);
        if (!access(file, X_OK))
            return true;
    }
    return false;
}

void xserver_need(const char *program)
{
    if (in_path(program))
        return;
    fprintf(stderr, "SKIPPED: this test needs %s, which is not installed\n", program);
    exit(77);
}

static void run(const char *program, int width, int height, int display_fd,
                const char *const *extra)
{
    char fd[16], size[32], screen[40];
    snprintf(fd, sizeof fd, "%d", display_fd);
    snprintf(size, sizeof size, "%dx%d", width, height);
    snprintf(screen, sizeof screen, "%dx%dx24", width, height);
    const char *args[ARGS_MAX] = {program, "-displayfd", fd, "-nolisten", "tcp", "-noreset"};
    int n = 6;
    bool vnc = !strcmp(program, "Xvnc");
    const char *xvfb_args[] = {"-screen", "0", screen};
    /* -rfbport -1: the tests need no VNC port, and a fixed one could be taken */
    const char *xvnc_args[] = {"-geometry",  size,        "-depth",         "24",
                               "-interface", "127.0.0.1", "-SecurityTypes", "None",
                               "-rfbport",   "-1"};
    const char **more = vnc ? xvnc_args : xvfb_args;
    size_t n_more =
        vnc ? sizeof xvnc_args / sizeof *xvnc_args : sizeof xvfb_args / sizeof *xvfb_args;
    for (size_t i = 0; i < n_more; i++)
        args[n++] = more[i];
    for (; extra && *extra && n < ARGS_MAX - 1; extra++)
        args[n++] = *extra;
    execvp(program, (char *const *)args);
    _exit(127);
}

bool xserver_start(struct xserver *s, const char *program, int width, int height,
                   const char *const *extra)
{
    memset(s, 0, sizeof *s);
    FILE *log = tmpfile(); /* shown only when it does not start */
    int fds[2];
    if (!log || pipe2(fds, O_CLOEXEC))
        return false;
    s->pid = fork();
    if (s->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that crashes leaves no server */
        dup2(fileno(log), 1);
        dup2(fileno(log), 2);
        int fd = dup(fds[1]); /* without close-on-exec */
        run(program, width, height, fd, extra);
    }
    close(fds[1]);
    char text[16] = "";
    size_t len = 0;
    struct pollfd p = {fds[0], POLLIN, 0};
    while (len + 1 < sizeof text && !strchr(text, '\n') && poll(&p, 1, START_TIMEOUT_MS) > 0) {
        ssize_t n = read(fds[0], text + len, sizeof text - 1 - len);
        if (n <= 0)
            break;
        text[len += (size_t)n] = '\0';
    }
    close(fds[0]);
    bool ok = strchr(text, '\n') != NULL;
    if (ok) {
        snprintf(s->display, sizeof s->display, ":%d", atoi(text));
    } else {
        char line[256];
        rewind(log);
        while (fgets(line, sizeof line, log))
            fprintf(stderr, "%s: %s", program, line);
        xserver_stop(s);
    }
    fclose(log);
    return ok;
}

void xserver_stop(struct xserver *s)
{
    if (s->pid <= 0)
        return;
    kill(s->pid, SIGTERM); /* lets it remove its socket and lock */
    for (int i = 0; i < 500; i++) {
        if (waitpid(s->pid, NULL, WNOHANG) == s->pid) {
            s->pid = 0;
            return;
        }
        usleep(10000);
    }
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
    s->pid = 0;
}
