/* RTCP: RFC 3550 section 6, feedback of RFC 4585 and RFC 5104, REMB
 * (draft-alvestrand-rmcat-remb-03). Pure. */
#ifndef HEVCAST_RTP_RTCP_H
#define HEVCAST_RTP_RTCP_H

#include "base/bytes.h"

enum rtcp_type {
    RTCP_SR = 200, RTCP_RR = 201, RTCP_SDES = 202, RTCP_BYE = 203, RTCP_APP = 204,
    RTCP_RTPFB = 205, RTCP_PSFB = 206,
};
enum { RTPFB_NACK = 1, RTPFB_TWCC = 15, PSFB_PLI = 1, PSFB_RPSI = 3, PSFB_FIR = 4, PSFB_APP = 15 };

/* One packet of a compound. */
struct rtcp_packet {
    int type, count;     /* count: RC, SC or FMT */
    const uint8_t *body; /* borrows; behind the 4-byte header, without padding */
    size_t len;
};
/* 1: one packet; 0: the end; -1: malformed (the rest cannot be read). */
int rtcp_next(struct byte_reader *r, struct rtcp_packet *out);

struct rtcp_report {
    uint32_t ssrc;
    uint8_t fraction_lost;   /* of 256 */
    int32_t cumulative_lost; /* 24 bits, signed */
    uint32_t highest_seq, jitter, lsr, dlsr;
};
struct rtcp_sender_info {
    uint32_t ssrc;
    uint64_t ntp;
    uint32_t rtp_ts, packets, octets;
};
bool rtcp_sender_info(const struct rtcp_packet *p, struct rtcp_sender_info *out); /* SR */
/* The report blocks of an SR or RR: i = 0, 1, …; false: no more. */
bool rtcp_report(const struct rtcp_packet *p, int i, struct rtcp_report *out);
bool rtcp_bye_has(const struct rtcp_packet *p, uint32_t ssrc);
/* Media SSRC of RTPFB and PSFB; 0 when malformed. */
uint32_t rtcp_media_ssrc(const struct rtcp_packet *p);
/* A NACK's items: the sequence number and the 16 after it as bits (BLP). false: no more. */
bool rtcp_nack(const struct rtcp_packet *p, int i, uint16_t *pid, uint16_t *blp);
/* FIR's entry for ssrc. */
bool rtcp_fir(const struct rtcp_packet *p, uint32_t ssrc, uint8_t *seq_nr);
/* RFC 7798 section 8.3: the picture, of layer 0, that the receiver wants references to be taken
 * from. false: no such message, or malformed. */
bool rtcp_rpsi(const struct rtcp_packet *p, uint8_t pt, int32_t *poc);
bool rtcp_remb(const struct rtcp_packet *p, int64_t *bps);

/* Writers: a packet that does not fit sets w->failed. */
void rtcp_write_sr(struct byte_writer *w, const struct rtcp_sender_info *s);
void rtcp_write_rr(struct byte_writer *w, uint32_t ssrc, const struct rtcp_report *report, int n);
void rtcp_write_sdes(struct byte_writer *w, uint32_t ssrc, const char *cname);
void rtcp_write_remb(struct byte_writer *w, uint32_t ssrc, uint32_t media_ssrc, int64_t bps);
void rtcp_write_bye(struct byte_writer *w, const uint32_t *ssrc, int n);
void rtcp_write_pli(struct byte_writer *w, uint32_t ssrc, uint32_t media_ssrc);
void rtcp_write_rpsi(struct byte_writer *w, uint32_t ssrc, uint32_t media_ssrc, uint8_t pt,
                     int32_t poc);
void rtcp_write_fir(struct byte_writer *w, uint32_t ssrc, uint32_t media_ssrc, uint8_t seq_nr);
/* seq ascends (with wrap-around); as few items as it takes. */
void rtcp_write_nack(struct byte_writer *w, uint32_t ssrc, uint32_t media_ssrc,
                     const uint16_t *seq, int n);

/* The middle 32 bits of an NTP time, as in LSR. */
static inline uint32_t ntp_mid(uint64_t ntp) { return (uint32_t)(ntp >> 16); }

#endif
