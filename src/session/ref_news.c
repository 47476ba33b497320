#include "session/ref_news.h"

void ref_news_init(struct ref_news *q)
{
    *q = (struct ref_news){0};
    pthread_mutex_init(&q->lock, NULL);
}

void ref_news_destroy(struct ref_news *q) { pthread_mutex_destroy(&q->lock); }

void ref_news_push(struct ref_news *q, enum ref_event_type type, uint64_t pic_id)
{
    pthread_mutex_lock(&q->lock);
    if (q->n == REF_NEWS_CAPACITY) {
        q->drops += q->n;
        q->n = 0;
        q->overflowed = true;
    }
    q->ring[(q->first + q->n++) % REF_NEWS_CAPACITY] = (struct ref_event){type, pic_id};
    pthread_mutex_unlock(&q->lock);
}

bool ref_news_pop(struct ref_news *q, struct ref_event *out)
{
    pthread_mutex_lock(&q->lock);
    bool any = q->overflowed || q->n > 0;
    if (q->overflowed) {
        *out = (struct ref_event){REF_OVERFLOW, 0};
        q->overflowed = false;
    } else if (any) {
        *out = q->ring[q->first];
        q->first = (q->first + 1) % REF_NEWS_CAPACITY;
        q->n--;
    }
    pthread_mutex_unlock(&q->lock);
    return any;
}
