/* CPU time for each packet of the sans-IO core: the sender's poll, the receiver's on_rtp with
 * nothing lost, and with 2 % lost and repaired. Run it by hand or with `meson test --benchmark`. */
#include "hevc/nal.h"
#include "jitter/video_receiver.h"
#include "rtp/packet.h"
#include "rtp/video_sender.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { AU_BYTES = 200000, ROUNDS = 300, MAX_PACKETS = 400 };

static int64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Noise as one slice; with the parameter sets of the stream `sets` in front: an IDR. */
static struct access_unit *make_au(const uint8_t *sets, size_t sets_len)
{
    struct access_unit *au = access_unit_new(AU_BYTES + 4);
    uint8_t *d = malloc(AU_BYTES);
    if (!au || !d)
        exit(1);
    uint32_t x = 1;
    for (int i = 0; i < AU_BYTES; i++) {
        x = x * 1664525 + 1013904223;
        d[i] = (uint8_t)(x >> 24);
        if (d[i] == 0) /* no start codes */
            d[i] = 3;
    }
    size_t pos = 0;
    struct nal n;
    while (annexb_next(sets, sets_len, &pos, &n) && !nal_is_vcl(nal_type(&n)))
        if (!au_append_nal(au, n.data, n.len))
            exit(1);
    d[0] = (uint8_t)((sets_len ? NAL_IDR_W_RADL : NAL_TRAIL_R) << 1);
    d[1] = 1;
    d[2] = 0xaf;
    if (!au_append_nal(au, d, AU_BYTES))
        exit(1);
    free(d);
    return au;
}

static void run(double loss, const uint8_t *sets, size_t sets_len)
{
    struct video_sender_config sc;
    struct video_receiver_config rc;
    video_sender_default_config(&sc);
    video_receiver_default_config(&rc);
    sc.ssrc = 1;
    sc.rtx_ssrc = 2;
    sc.pt = rc.pt = 49;
    sc.rtx_pt = rc.rtx_pt = 50;
    sc.pacing_bps = 100000000000;
    sc.max_burst_bytes = 64 << 20;
    sc.ext = rc.ext = (struct rtp_ext_ids){1, 2, 3, 4, 5, 6, 0};
    strcpy(sc.mid, "0");
    rc.nack = rc.pli = true;
    rc.initial_rtt_us = 1000;
    struct video_sender *vs = video_sender_new(&sc);
    struct video_receiver *vr = video_receiver_new(&rc);
    struct access_unit *key = make_au(sets, sets_len), *delta = make_au(NULL, 0);
    static uint8_t packet[MAX_PACKETS][1300];
    static size_t len[MAX_PACKETS];
    if (!vs || !vr)
        exit(1);
    int64_t send_ns = 0, receive_ns = 0, packets = 0, now_us = 1000000;
    srand(1);
    for (int i = 0; i < ROUNDS; i++) {
        struct rtp_packet p;
        struct access_unit *au = i == 0 ? key : delta;
        au->pts_us = now_us;
        if (!video_sender_push(vs, au, 1, now_us))
            exit(1);
        for (int again = 0; again < 30; again++) { /* until all is repaired */
            int n = 0;
            int64_t t = cpu_ns();
            while (n < MAX_PACKETS && video_sender_poll(vs, now_us, &p)) {
                memcpy(packet[n], p.data, p.len);
                len[n++] = p.len;
            }
            send_ns += cpu_ns() - t;
            t = cpu_ns();
            for (int k = 0; k < n; k++)
                if (rand() >= loss * RAND_MAX)
                    video_receiver_on_rtp(vr, packet[k], len[k], now_us);
            struct access_unit *out;
            while ((out = video_receiver_poll(vr, now_us)))
                access_unit_unref(&out);
            uint8_t buf[1400];
            size_t rtcp;
            struct rtcp_events e;
            now_us += 12000;
            while ((rtcp = video_receiver_rtcp(vr, now_us, buf, sizeof buf)))
                video_sender_on_rtcp(vs, buf, rtcp, now_us, 0, &e);
            receive_ns += cpu_ns() - t;
            packets += n;
            if (n == 0)
                break;
        }
    }
    struct video_receiver_stats s;
    video_receiver_get_stats(vr, &s);
    printf("loss %4.1f%%: %lld packets, sender %lld ns, receiver %lld ns for each; "
           "%lld lost, %lld recovered, %lld access units\n",
           100 * loss, (long long)packets, (long long)(send_ns / packets),
           (long long)(receive_ns / packets), (long long)s.packets_lost,
           (long long)s.packets_recovered, (long long)s.frames_received);
    video_sender_free(&vs);
    video_receiver_free(&vr);
    access_unit_unref(&key);
    access_unit_unref(&delta);
}

int main(int argc, char **argv)
{
    static uint8_t sets[4096];
    FILE *f = argc > 1 ? fopen(argv[1], "rb") : NULL;
    size_t len = f ? fread(sets, 1, sizeof sets, f) : 0;
    if (len == 0) {
        fprintf(stderr, "usage: bench-rtp STREAM.hevc (for its parameter sets)\n");
        return 2;
    }
    fclose(f);
    run(0, sets, len);
    run(0.02, sets, len);
    run(0.2, sets, len);
    return 0;
}
