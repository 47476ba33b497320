/* Extended reports into the parser, a sender's answer and a receiver's clock. */
#include "fuzz.h"

#include "jitter/sender_clock.h"
#include "rtp/rtcp_xr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct byte_reader r = byte_reader_of(data, size);
    struct rtcp_packet p;
    struct xr_answer a = {0};
    struct sender_clock c = {0};
    int64_t now_us = 1000000, offset_us, error_us;
    while (rtcp_next(&r, &p) > 0) {
        struct xr_block b;
        struct xr_dlrr d;
        struct rtcp_sender_info info;
        size_t pos = 0, blocks = 0;
        if (rtcp_sender_info(&p, &info))
            sender_clock_report(&c, &info, now_us);
        xr_answer_take(&a, &p, now_us);
        for (; xr_next(&p, &pos, &b); blocks++) {
            FUZZ_CHECK(b.body >= p.body && b.body + b.len <= p.body + p.len);
            int n = 0;
            for (; xr_dlrr(&b, n, &d); n++)
                sender_clock_answer(&c, d.lrr, d.dlrr, now_us);
            FUZZ_CHECK((size_t)n * 12 <= b.len);
        }
        FUZZ_CHECK(blocks * 4 <= p.len);
        now_us += 10000;
    }
    uint8_t out[XR_DLRR_LEN];
    struct byte_writer w = byte_writer_of(out, sizeof out);
    xr_answer_write(&a, &w, 1, now_us);
    FUZZ_CHECK(!w.failed);
    if (sender_clock_get(&c, now_us, 1000, &offset_us, &error_us))
        FUZZ_CHECK(error_us >= 0 && sender_clock_rtt_us(&c) >= 0);
    sender_clock_ntp_of(&c, 12345);
    return 0;
}
