/* hevcast: HEVC over WebRTC. The public interface of libhevcast.
 *
 * A *sender* serves one stream to its viewers: WHEP over HTTP, then ICE, DTLS-SRTP and RTP. Its
 * pictures come from a source that hevcast opens (a screen, a file, a test picture), or from the
 * program: raw pictures, which hevcast encodes, or access units that the program encoded.
 * A *receiver* watches one stream and gives out access units and decoded pictures, and, if asked,
 * shows them in a window, writes them raw, or records them.
 *
 * Threads. Each object starts its own threads and joins them when it is freed. Functions may be
 * called from any thread, one at a time for each object, unless stated otherwise; stop functions
 * are also safe in a signal handler. Callbacks come on hevcast's threads (each says which): they
 * must return soon and must not free or wait for the object that calls them.
 *
 * Errors. Functions that can fail give 0 or a negative enum hevcast_error; then
 * hevcast_error_text() is one sentence that says what is wrong and what to do.
 *
 * Ownership. Strings and arrays in a config are copied by *_new. On failure *_new sets *out to
 * NULL and keeps nothing. *_free sets the pointer to NULL, and takes a NULL object. What a callback
 * is given is borrowed until it returns.
 *
 * Time. t_us counts from the creation of the object; pts_us is the program's own media time;
 * both are microseconds. Rates are bits a second. */
#ifndef HEVCAST_H
#define HEVCAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HEVCAST_API __attribute__((visibility("default")))

enum hevcast_error {
    HEVCAST_OK = 0,
    HEVCAST_INVALID = -1,     /* a wrong argument */
    HEVCAST_NOT_FOUND = -2,   /* no such display, monitor, window, file, share */
    HEVCAST_UNSUPPORTED = -3, /* not possible with this file, peer or machine */
    HEVCAST_IO = -4,          /* the system or the network failed */
    HEVCAST_MEMORY = -5,
    HEVCAST_PROTOCOL = -6,    /* the other side sent something unusable */
    HEVCAST_REFUSED = -7,     /* the other side said no */
    HEVCAST_ENDED = -8,       /* it is over */
    HEVCAST_TIMEOUT = -9,
};

/* The sentence for the last error on this thread; "" if none. Valid until the next call here. */
HEVCAST_API const char *hevcast_error_text(void);
/* "0.1.0". Static. */
HEVCAST_API const char *hevcast_version(void);
/* What goes to standard error: 0 errors, 1 warnings (default), 2 information, 3 everything.
 * The environment's HEVCAST_LOG=module:level,… overrides it. Any thread. */
HEVCAST_API void hevcast_set_log_level(int level);
/* Called right before and after each line logged, with a lock held; for a program that draws a
 * status line on the same terminal. NULL: none. Any thread. */
HEVCAST_API void hevcast_set_log_hooks(void (*before)(void), void (*after)(void));

/* ------------------------------------------------------------------ events and statistics */

enum hevcast_event_type {
    HEVCAST_EVENT_LISTENING,     /* sender: text is the address to open */
    HEVCAST_EVENT_VIEWER_JOINED, /* sender: its offer was answered; viewer_id */
    HEVCAST_EVENT_CONNECTED,     /* keys are exchanged, or again after LOST; sender: viewer_id; text: the path */
    HEVCAST_EVENT_VIEWER_LEFT,   /* sender: viewer_id; text: why */
    HEVCAST_EVENT_FIRST_PICTURE, /* receiver: width, height */
    HEVCAST_EVENT_RESIZED,       /* receiver: width, height */
    HEVCAST_EVENT_NOTICE,        /* text: something that a person should know, and it goes on */
    HEVCAST_EVENT_ENDED,         /* text: why; error: 0 or an enum hevcast_error */
    HEVCAST_EVENT_LOST,          /* receiver: the connection; text: why. CONNECTED follows, or ENDED */
    HEVCAST_EVENT_RECONNECTING,  /* receiver: it failed, and is tried again soon; text: why */
};

typedef struct hevcast_event {
    enum hevcast_event_type type;
    int64_t t_us;
    const char *text;      /* "" if none */
    const char *viewer_id; /* "" if none */
    int width, height;
    int error;
} hevcast_event;

/* Counters never go back. Stages and queues that do not run are not listed. */
enum { HEVCAST_MAX_STAGES = 8, HEVCAST_MAX_QUEUES = 8 };

typedef struct hevcast_stage_stats {
    const char *name; /* capture convert encode queue network decode display; static */
    int64_t p50_us, p95_us; /* of the last 256 pictures */
} hevcast_stage_stats;

typedef struct hevcast_queue_stats {
    const char *name; /* capture encode pacer decode display raw record; static */
    int64_t length, capacity, drops; /* pacer: milliseconds for length and capacity */
} hevcast_queue_stats;

typedef struct hevcast_viewer_stats {
    char id[32];
    int64_t rtt_us;       /* 0: not known yet */
    double loss_ratio;    /* of the last report, 0 to 1 */
    int64_t estimate_bps; /* what the viewer's path carries as far as it said so; 0: unknown */
    int64_t queue_us;     /* what waits in its pacer takes this long to send */
    bool held;            /* it waits for a key frame */
} hevcast_viewer_stats;

typedef struct hevcast_sender_stats {
    int64_t t_us;
    int64_t frames_captured, frames_skipped, frames_encoded, keyframes;
    int64_t repairs_by_reference; /* losses that were answered without a key frame */
    int64_t bytes_sent, packets_sent, packets_retransmitted; /* RTP, of all viewers that ever were */
    int64_t fec_bytes;    /* of bytes_sent: forward error correction */
    int64_t target_bps;
    int width, height; /* of the last picture; 0 before the first */
    int viewers;
    int64_t pacer_us; /* what waits for the network takes this long, of the viewers that set the
                         rate, as of now: leave pictures out while it is above your queue_ms */
    int stage_count, queue_count;
    hevcast_stage_stats stage[HEVCAST_MAX_STAGES];
    hevcast_queue_stats queue[HEVCAST_MAX_QUEUES];
} hevcast_sender_stats;

typedef struct hevcast_receiver_stats {
    int64_t t_us;
    int64_t frames_received, frames_decoded, frames_dropped;
    int64_t packets_received, packets_lost, packets_recovered;
    int64_t nacks, plis;
    int64_t rpsis, resumed; /* losses told so that the sender refers to what is here; that ended so */
    int64_t freezes, freeze_us; /* gaps of over 200 ms between pictures, while some were missing */
    int64_t bytes_received, bitrate_bps; /* of the last second */
    int64_t jitter_us;
    int64_t playout_delay_us;   /* what pictures in motion wait for those that jitter delays */
    int64_t latency_p50_us, latency_p95_us; /* capture to shown, or to decoded without a window,
                                               from abs-capture-time; 0: unknown */
    int64_t rtt_us;             /* of the path; 0: unknown */
    /* The sender's wall clock minus ours, measured by RTCP and taken out of the latency; an
     * asymmetric path can make it wrong by clock_error_us. Not known: the latency holds if both
     * clocks agree, as they do on one machine. */
    bool clock_offset_known;
    int64_t clock_offset_us, clock_error_us;
    int width, height;
    bool connected;
    int64_t reconnects; /* how often it was connected again after it was lost */
    double fps; /* of the last second */
    int stage_count, queue_count;
    hevcast_stage_stats stage[HEVCAST_MAX_STAGES];
    hevcast_queue_stats queue[HEVCAST_MAX_QUEUES];
} hevcast_receiver_stats;

/* ------------------------------------------------------------------ pictures and access units */

enum hevcast_pix_fmt {
    HEVCAST_PIX_AUTO = -1, /* only for raw output: i420, or i444 for a 4:4:4 stream */
    HEVCAST_PIX_BGRX = 0, /* bytes B, G, R, ignored; full range */
    HEVCAST_PIX_I420,     /* BT.709, limited range */
    HEVCAST_PIX_I444,
    HEVCAST_PIX_NV12,     /* receiver only */
    HEVCAST_PIX_BGR24,    /* only for raw output */
    HEVCAST_PIX_RGB24,    /* only for raw output */
};

typedef struct hevcast_picture {
    enum hevcast_pix_fmt fmt;
    int width, height;       /* pixels */
    const uint8_t *plane[3]; /* chroma of 4:2:0 is rounded up */
    int stride[3];           /* bytes */
    int64_t pts_us;
    int64_t latency_us;      /* receiver: capture to decoded; 0: unknown */
} hevcast_picture;

typedef struct hevcast_access_unit {
    const uint8_t *data; /* Annex B, one whole access unit */
    size_t len;
    int64_t pts_us;
    bool keyframe;       /* IRAP. Receiver: then it begins with VPS, SPS and PPS */
} hevcast_access_unit;

/* Converts a picture of any format to packed 24-bit pixels, red or blue first. dst_stride in
 * bytes, at least 3 × width. Any thread. */
HEVCAST_API int hevcast_picture_to_rgb(const hevcast_picture *picture, uint8_t *dst, int dst_stride,
                                       bool red_first);

/* ------------------------------------------------------------------ sender */

typedef struct hevcast_sender hevcast_sender;

enum hevcast_input {
    HEVCAST_INPUT_SOURCE,       /* hevcast opens `source` */
    HEVCAST_INPUT_PICTURES,     /* the program pushes raw pictures */
    HEVCAST_INPUT_ACCESS_UNITS, /* the program pushes HEVC access units */
};

typedef struct hevcast_sender_config {
    enum hevcast_input input;  /* default HEVCAST_INPUT_SOURCE */
    const char *source;        /* screen, x11[:DISPLAY], test[:WxH@FPS], file, URL, -; default screen */
    const char *monitor;       /* name or number; default NULL: all */
    const char *region;        /* WxH+X+Y; default NULL: all */
    const char *window;        /* id or part of the title; default NULL: none */
    int fps;                   /* most pictures a second; default 60 */
    bool cursor;               /* draw the pointer; default true */
    bool loop;                 /* a file starts again at its end; default false */
    const char *encoder;       /* auto, screen, x265, nvenc, vaapi, qsv; default auto */
    int chroma;                /* 420 or 444; default 420 */
    int64_t bitrate_bps;       /* ceiling; default 20 Mb/s */
    int64_t min_bitrate_bps;   /* floor; default 300 kb/s */
    int queue_ms;              /* wait allowed between encoder and network; default 100 */
    const char *listen;        /* ADDR:PORT; default NULL: 0.0.0.0:8554 or the first free after it */
    const char *token;         /* the secret in the address; NULL: random; "": none, open to anyone */
    const char *tls;           /* "self" or "CERT.pem:KEY.pem": serve https; default NULL: http */
    const char *const *ice_servers; /* stun:… and turn:… URLs; default none */
    int ice_server_count;
    int udp_port_min, udp_port_max; /* default 0, 0: any */
    int max_viewers;           /* default 32 */

    /* Network thread, any may be NULL. on_event: see the types. on_keyframe_request: with
     * HEVCAST_INPUT_ACCESS_UNITS, the next access unit should be a key frame (at most one call in
     * 300 ms). on_target_bitrate: what the encoder should aim for; called at the first viewer and
     * at each change. */
    void (*on_event)(void *ctx, const hevcast_event *event);
    void (*on_keyframe_request)(void *ctx);
    void (*on_target_bitrate)(void *ctx, int64_t bps);
    void *ctx;
} hevcast_sender_config;

HEVCAST_API void hevcast_sender_default_config(hevcast_sender_config *config);
/* Opens the source and the port and starts the threads; HEVCAST_EVENT_LISTENING comes before it
 * returns. Nothing is encoded while nobody watches. */
HEVCAST_API int hevcast_sender_new(hevcast_sender **out, const hevcast_sender_config *config);
/* The address to open, with the token; with tls "self" also with #sha256=FINGERPRINT, which a receiver
 * obeys. Valid as long as the sender. */
HEVCAST_API const char *hevcast_sender_url(const hevcast_sender *sender);
/* SHA-256 of the certificate, 64 hex digits; "" without TLS. Valid as long as the sender. */
HEVCAST_API const char *hevcast_sender_fingerprint(const hevcast_sender *sender);
/* What is shared, for people: "screen :0, 1920x1080". Valid as long as the sender. */
HEVCAST_API const char *hevcast_sender_description(const hevcast_sender *sender);
/* One picture (BGRX, I420 or I444), copied. 0; 1: nobody watches: it is kept until a newer one
 * comes, for the first viewer. The newest wins when the encoder is busy. One thread at a time.
 * HEVCAST_INVALID, HEVCAST_MEMORY, HEVCAST_TIMEOUT (all buffers in use: left out), HEVCAST_ENDED. */
HEVCAST_API int hevcast_sender_push_picture(hevcast_sender *sender, const hevcast_picture *picture);
/* One access unit, copied. Parameter sets are remembered and put before key frames that lack them.
 * 0; 1: nobody watches; HEVCAST_INVALID: not Annex B; HEVCAST_TIMEOUT: the network thread is behind and it was not
 * taken (send a key frame next); HEVCAST_ENDED. One thread at a time. */
HEVCAST_API int hevcast_sender_push_access_unit(hevcast_sender *sender,
                                                const hevcast_access_unit *au);
/* Waits until it ends, at most timeout_us (< 0: for ever), or until a signal arrives. 1: it runs;
 * 0: it ended as asked (stopped, end of file); else the error that ended it. */
HEVCAST_API int hevcast_sender_wait(hevcast_sender *sender, int64_t timeout_us);
/* Fills *stats, and up to max_viewers entries of viewers (may be NULL with 0). The number of
 * entries that were filled. Any thread. */
HEVCAST_API int hevcast_sender_get_stats(hevcast_sender *sender, hevcast_sender_stats *stats,
                                         hevcast_viewer_stats *viewers, int max_viewers);
/* Begins the end: viewers are told. Any thread, or a signal handler. */
HEVCAST_API void hevcast_sender_stop(hevcast_sender *sender);
/* Stops (at most 2 s) and frees. */
HEVCAST_API void hevcast_sender_free(hevcast_sender **sender);

/* ------------------------------------------------------------------ receiver */

typedef struct hevcast_receiver hevcast_receiver;

typedef struct hevcast_receiver_config {
    const char *url;           /* of a share, or of any WHEP endpoint */
    const char *bearer;        /* default NULL: none */
    const char *tls_pin;       /* SHA-256 of the certificate to trust, hex; default NULL: the system's trust */
    const char *const *ice_servers; /* besides those of the server; default none */
    int ice_server_count;
    const char *decoder;       /* auto, cpu, vaapi, cuda; default auto. "none": access units only */
    bool window;               /* show pictures; hevcast_receiver_wait runs the window; default false */
    bool fullscreen;           /* default false */
    const char *raw_path;      /* write raw pictures there ("-": standard output); default NULL */
    const char *y4m_path;      /* write YUV4MPEG2 there; default NULL */
    enum hevcast_pix_fmt raw_fmt; /* of raw_path; default HEVCAST_PIX_AUTO */
    bool stop_on_resize;       /* raw, y4m: end instead of scaling; default false */
    const char *record_path;   /* .mkv or .mp4; default NULL */
    int64_t reconnect_us;      /* how long a connection that was lost is tried for; 0: not at all;
                                  default -1: for ever. A share that says goodbye is not lost */
    int64_t max_frames;        /* end after so many decoded pictures; default 0: never */
    int playout_min_ms, playout_max_ms; /* bounds of the delay of pictures that are shown; at most
                                           1000; default 0, 200 */

    /* Any may be NULL. on_event: network or main thread. on_access_unit: network thread, in
     * decoding order, whole, each with its references. on_picture: decode thread, every picture. */
    void (*on_event)(void *ctx, const hevcast_event *event);
    void (*on_access_unit)(void *ctx, const hevcast_access_unit *au);
    void (*on_picture)(void *ctx, const hevcast_picture *picture);
    void *ctx;
} hevcast_receiver_config;

HEVCAST_API void hevcast_receiver_default_config(hevcast_receiver_config *config);
/* Opens the outputs, starts the threads and begins to connect; a failure to connect comes as the
 * result of hevcast_receiver_wait. */
HEVCAST_API int hevcast_receiver_new(hevcast_receiver **out, const hevcast_receiver_config *config);
/* As hevcast_sender_wait. With `window` it must be called on the main thread, again and again:
 * it shows the pictures and handles the keys while it waits. */
HEVCAST_API int hevcast_receiver_wait(hevcast_receiver *receiver, int64_t timeout_us);
HEVCAST_API void hevcast_receiver_get_stats(hevcast_receiver *receiver,
                                            hevcast_receiver_stats *stats); /* any thread */
/* Begins the end: the sender is told, files are finished. Any thread, or a signal handler. */
HEVCAST_API void hevcast_receiver_stop(hevcast_receiver *receiver);
/* Stops (at most 5 s, to write what is queued) and frees. On the main thread with `window`. */
HEVCAST_API void hevcast_receiver_free(hevcast_receiver **receiver);

/* ------------------------------------------------------------------ what works here */

enum hevcast_list_kind {
    HEVCAST_LIST_MONITOR,
    HEVCAST_LIST_WINDOW,
    HEVCAST_LIST_ENCODER,
    HEVCAST_LIST_DECODER,
    HEVCAST_LIST_DISPLAY,
};
typedef struct hevcast_list_item {
    enum hevcast_list_kind kind;
    const char *name;   /* as the options take it */
    const char *detail; /* title, or the reason why it does not work; "" if none */
    bool works;
    int x, y, width, height; /* monitors, windows */
} hevcast_list_item;
/* Calls item for each, on this thread. 0; HEVCAST_NOT_FOUND: there is no X display (encoders,
 * decoders and displays were listed all the same). */
HEVCAST_API int hevcast_list(void (*item)(void *ctx, const hevcast_list_item *item), void *ctx);

#ifdef __cplusplus
}
#endif
#endif
