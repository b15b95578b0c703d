/* The log ring and the log frames. */
#ifndef EDGE_LOG_H
#define EDGE_LOG_H

#include <stdbool.h>
#include <stdint.h>

/* One line, at most EDGE_MAX_LOG bytes of UTF-8 (longer ones are cut). Always into the ring; as a frame once the
 * session is up, at most EDGE_LOG_BURST per second of input time. level is an enum edge_level. */
void edge_log(uint8_t level, const char *text);

/* Make the ring one that can be read, if empty. It lies in .bss, so that an image doesn't carry 4 KiB of nothing. */
void edge_log_begin(void);

enum { EDGE_LOG_BURST = 8 };

/* The rate bound's memory: part of the state, so that a restored guest says exactly what the first one would have. */
struct edge_log_rate {
    uint64_t second; /* of input time, since 1970 */
    uint32_t used;
    bool up; /* frames may be sent */
};
extern struct edge_log_rate edge_log_rate;

/* Input time has come to ms. */
void edge_log_time(uint64_t ms);

#endif
