/* Transport-wide feedback: bytes into the reader and into a sender's control; and arrivals made of
 * the bytes through the recorder, whose feedback must read back as they were. */
#include "fuzz.h"

#include "rtp/send_control.h"

static void read_it(const uint8_t *data, size_t size)
{
    static const struct cc_config config = {1000000, 100000, 10000000};
    struct send_control *sc = send_control_new(&cc_gcc, &config);
    if (!sc)
        abort();
    for (int i = 0; i < 300; i++)
        send_control_sent(sc, 1000, false, 1000 + i * 500);
    struct byte_reader r = byte_reader_of(data, size);
    struct rtcp_packet p;
    int64_t now = 200000;
    while (rtcp_next(&r, &p) > 0) {
        struct twcc_reader t;
        uint16_t seq;
        enum twcc_status status;
        int64_t offset;
        int n = 0;
        if (twcc_read(&t, &p)) {
            while (twcc_next(&t, &seq, &status, &offset))
                n++;
            FUZZ_CHECK(n == t.n);
        }
        send_control_feedback(sc, &p, now += 50000);
        send_control_poll(sc, now);
        FUZZ_CHECK(sc->flight_bytes >= 0);
        FUZZ_CHECK(sc->cc->estimate_bps >= config.min_bps && sc->cc->estimate_bps <= config.max_bps);
    }
    send_control_free(&sc);
}

static void write_it(const uint8_t *data, size_t size)
{
    static struct twcc_recorder rec; /* large */
    twcc_recorder_init(&rec);
    int64_t now = 1000000;
    uint16_t seq = 65500;
    for (size_t i = 0; i + 2 <= size; i += 2) {
        seq = (uint16_t)(seq + (int8_t)data[i]);
        now += (int64_t)data[i + 1] * data[i + 1] * 200;
        twcc_record(&rec, seq, 100, now);
        for (int k = 0; twcc_due_us(&rec) <= now; k++) {
            uint8_t buf[300];
            struct byte_writer w = byte_writer_of(buf, 40 + data[i]);
            twcc_write(&rec, &w, 1, 2, now);
            FUZZ_CHECK(!w.failed && k < 2048);
            struct byte_reader r = byte_reader_of(buf, bw_len(&w));
            struct rtcp_packet p;
            struct twcc_reader t;
            FUZZ_CHECK(rtcp_next(&r, &p) == 1 && twcc_read(&t, &p));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_it(data, size);
    write_it(data, size);
    return 0;
}
