/* RTCP into a sender that has a history, and into a receiver that has a stream. */
#include "fuzz.h"

#include "base/bytes.h"
#include "jitter/video_receiver.h"
#include "rtp/video_sender.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct video_sender_config sc;
    struct video_receiver_config rc;
    video_sender_default_config(&sc);
    video_receiver_default_config(&rc);
    sc.ssrc = 1; /* as in the corpus */
    sc.pt = rc.pt = 49;
    sc.first_seq = 65535;
    rc.nack = rc.pli = true;
    struct video_sender *vs = video_sender_new(&sc);
    struct video_receiver *vr = video_receiver_new(&rc);
    struct access_unit *au = access_unit_new(4000);
    if (!vs || !vr || !au)
        abort();
    static const uint8_t nal[3500] = {0, 0, 0, 1, 2, 1, 0x80, 1};
    access_unit_append(au, nal, 8);
    memset(au->data + 8, 0x55, 3492);
    au->len = 3500;
    struct rtp_packet p;
    video_sender_push(vs, au, 0, 1000);
    while (video_sender_poll(vs, 1000, &p))
        video_receiver_on_rtp(vr, p.data, p.len, 1000);

    struct rtcp_events e;
    bool bye;
    video_sender_on_rtcp(vs, data, size, 200000, 1ull << 40, &e);
    video_receiver_on_rtcp(vr, data, size, 200000, &bye);
    int resent = 0;
    while (video_sender_poll(vs, 200000, &p)) {
        FUZZ_CHECK(p.retransmission && p.len <= 1200);
        resent++;
    }
    FUZZ_CHECK(resent <= 4);
    uint8_t buf[1500];
    while (video_receiver_rtcp(vr, 2000000, buf, sizeof buf))
        ;
    video_sender_free(&vs);
    video_receiver_free(&vr);
    access_unit_unref(&au);
    return 0;
}
