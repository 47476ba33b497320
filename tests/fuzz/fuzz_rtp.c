/* A stream of packets into a receiver. Each: two bytes of length, one of milliseconds that pass,
 * then the packet. */
#include "fuzz.h"

#include "hevc/nal.h"
#include "jitter/video_receiver.h"

static void take_out(struct video_receiver *vr, int64_t now_us)
{
    struct access_unit *au;
    uint8_t buf[1200];
    int rounds = 0;
    while ((au = video_receiver_poll(vr, now_us))) {
        FUZZ_CHECK(au->len > 0 && au->first_packet_us <= au->complete_us);
        access_unit_unref(&au);
    }
    while (video_receiver_rtcp(vr, now_us, buf, sizeof buf))
        FUZZ_CHECK(++rounds < 100);
    FUZZ_CHECK(video_receiver_next_us(vr, now_us) >= now_us);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct video_receiver_config c;
    video_receiver_default_config(&c);
    if (size < 1)
        return 0;
    c.pt = 49;
    c.rtx_pt = 50;
    c.ext.abs_capture_time = 4;
    c.nack = data[0] & 1;
    c.pli = data[0] & 2;
    c.fir = true;
    struct video_receiver *vr = video_receiver_new(&c);
    if (!vr)
        abort();
    data++;
    size--;
    int64_t now_us = 1000000;
    while (size >= 3) {
        size_t len = (size_t)data[0] << 8 | data[1];
        now_us += data[2] * 1000;
        data += 3;
        size -= 3;
        len = len < size ? len : size;
        /* a copy, so that ASan sees a read past the packet's end */
        uint8_t *packet = malloc(len ? len : 1);
        if (!packet)
            abort();
        for (size_t i = 0; i < len; i++)
            packet[i] = data[i];
        video_receiver_on_rtp(vr, packet, len, now_us);
        free(packet);
        data += len;
        size -= len;
        take_out(vr, now_us);
    }
    take_out(vr, now_us + 1100000);
    video_receiver_free(&vr);
    return 0;
}
