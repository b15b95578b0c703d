#include "session.h"

#include "../protocol/edge.h"
#include "bytes.h"
#include "cbor.h"
#include "frame.h"
#include "log.h"
#include "mem.h"

#include "cold.h" /* last */

enum {
    ARENA_ALIGN = 16,
    PIECE = 16384,     /* bytes of state in one frame */
    STATE_PREFIX = 13, /* the session's own part of a state: format, log second, log frames used */
    STATE_FORMAT = 1,
    BUILD_ID = 32,
    SMALL_BODY = 256,
};

enum phase {
    EXPECT_HELLO,
    READY,     /* hello taken; state may come */
    RESTORING, /* some pieces of state have come */
    RUNNING,   /* inputs have come, or the state is complete */
    REFUSED,   /* nothing more is said */
};

static struct {
    enum phase phase;
    uint64_t seq; /* last input processed */
    uint64_t out; /* last output said */
    bool owes_ack;
    uint64_t reported_skips;
    struct edge_arena left; /* free arena */
} session;

/* A state being saved: counted first, since every piece says how many there are, then sent. */
static struct {
    bool counting;
    uint64_t id;
    uint64_t total;
    uint64_t index;
    size_t held;
    uint8_t piece[PIECE];
} saving;

/* A state being restored lies at the front of the free arena. */
static struct {
    uint64_t id, seq, out, count, next;
    uint64_t states; /* to come, this one included */
    size_t size;
} restoring;

struct edge_shard edge_shard;

/* ---- what apps call ---- */

void *edge_arena_take(struct edge_arena *arena, size_t size) {
    size_t padded = (size + (ARENA_ALIGN - 1)) & ~(size_t)(ARENA_ALIGN - 1);
    if (padded < size || padded > arena->size) {
        return NULL;
    }
    void *taken = arena->base;
    arena->base += padded;
    arena->size -= padded;
    return taken;
}

void edge_refuse(const char *reason, uint64_t needed, uint64_t available) {
    uint8_t body[SMALL_BODY];
    struct edge_writer w;
    size_t size = strlen(reason);
    edge_writer_init(&w, body, sizeof body);
    edge_put_head(&w, EDGE_ARRAY, 3);
    edge_put_string(&w, EDGE_TEXT, (const uint8_t *)reason, size < EDGE_MAX_REFUSAL ? size : EDGE_MAX_REFUSAL);
    edge_put_uint(&w, needed);
    edge_put_uint(&w, available);
    edge_log_rate.up = false;
    edge_log(EDGE_ERROR, reason);
    edge_send(EDGE_REFUSED, body, edge_written(&w), NULL, 0);
    session.phase = REFUSED;
}

uint64_t edge_next_out(void) {
    return ++session.out;
}

static void send_piece(void) {
    uint8_t body[SMALL_BODY];
    struct edge_writer w;
    edge_writer_init(&w, body, sizeof body);
    edge_put_head(&w, EDGE_ARRAY, 6);
    edge_put_uint(&w, saving.id);
    edge_put_uint(&w, session.seq);
    edge_put_uint(&w, session.out);
    edge_put_uint(&w, saving.index++);
    edge_put_uint(&w, (saving.total + PIECE - 1) / PIECE);
    edge_put_head(&w, EDGE_BYTES, saving.held);
    edge_send(EDGE_STATE, body, edge_written(&w), saving.piece, saving.held);
    saving.held = 0;
}

void edge_state_write(const void *bytes, size_t size) {
    if (saving.counting) {
        saving.total += size;
        return;
    }
    const uint8_t *from = bytes;
    while (size != 0) {
        size_t n = PIECE - saving.held;
        n = n < size ? n : size;
        memcpy(saving.piece + saving.held, from, n);
        saving.held += n;
        from += n;
        size -= n;
        if (saving.held == PIECE) {
            send_piece();
        }
    }
}

bool edge_shard_keeps(const uint8_t *topic, size_t size) {
    return edge_shard.count == 0 || edge_crc32(0, topic, size) % edge_shard.count == edge_shard.index;
}

/* ---- frames ---- */

static void send_two(uint8_t type, uint64_t a, uint64_t b) {
    uint8_t body[SMALL_BODY];
    struct edge_writer w;
    edge_writer_init(&w, body, sizeof body);
    edge_put_head(&w, EDGE_ARRAY, 2);
    edge_put_uint(&w, a);
    edge_put_uint(&w, b);
    edge_send(type, body, edge_written(&w), NULL, 0);
}

/* An array of that many integers and nothing else. */
static bool read_values(const uint8_t *body, size_t size, uint64_t *values, unsigned count) {
    struct edge_reader r;
    bool indefinite;
    edge_reader_init(&r, body, size);
    bool good = edge_read_array(&r, count, &indefinite);
    for (unsigned i = 0; i < count; i++) {
        good = good && edge_read_uint(&r, &values[i]);
    }
    return good && edge_read_close(&r, indefinite) && edge_read_end(&r);
}

static void send_ready(size_t arena_size) {
    uint8_t body[SMALL_BODY];
    struct edge_writer w;
    edge_writer_init(&w, body, sizeof body);
    edge_put_head(&w, EDGE_ARRAY, 7);
    edge_put_uint(&w, EDGE_ABI);
    edge_put_text(&w, edge_app.name);
    edge_put_uint(&w, edge_app.version);
    edge_put_uint(&w, edge_app.state_version);
    edge_put_string(&w, EDGE_BYTES, edge_platform_build(), BUILD_ID);
    edge_put_uint(&w, arena_size - session.left.size);
    edge_put_uint(&w, session.left.size);
    edge_send(EDGE_READY, body, edge_written(&w), NULL, 0);
}

static void take_hello(const uint8_t *body, size_t size) {
    struct edge_reader r;
    bool indefinite;
    uint64_t abi;
    uint64_t memory;
    const uint8_t *unit;
    size_t unit_size;
    if (session.phase != EXPECT_HELLO) {
        edge_panic("second hello");
    }
    edge_reader_init(&r, body, size);
    if (!edge_read_array(&r, 4, &indefinite) || !edge_read_uint(&r, &abi)) {
        edge_refuse("hello is not an array of abi, unit, memory and config", 0, 0);
        return;
    }
    if (abi != EDGE_ABI) {
        edge_refuse("this guest speaks ABI 1 only", 0, 0);
        return;
    }
    if (!edge_read_string(&r, EDGE_TEXT, &unit, &unit_size) || !edge_read_uint(&r, &memory)) {
        edge_refuse("hello is not an array of abi, unit, memory and config", 0, 0);
        return;
    }
    session.left = edge_platform_arena(memory);
    size_t arena_size = session.left.size;
    if (edge_app.start(&r, &session.left) != 0) {
        session.phase = REFUSED;
        return;
    }
    if (!edge_read_close(&r, indefinite) || !edge_read_end(&r)) {
        edge_refuse("hello has bytes after its config", 0, 0);
        return;
    }
    send_ready(arena_size);
    session.phase = READY;
    edge_log_rate.up = true;
}

/* The app's own state, unless there are no bytes of it: then it begins anew and only the numbers go on. */
static bool restore_app(const uint8_t *state, size_t size) {
    if (size == 0) {
        return true;
    }
    if (size < STATE_PREFIX || state[0] != STATE_FORMAT) {
        edge_refuse("state is of another format", 0, 0);
        return false;
    }
    edge_log_rate.second = edge_be64(state + 1);
    edge_log_rate.used = edge_be32(state + 9);
    return edge_app.restore(state + STATE_PREFIX, size - STATE_PREFIX) == 0;
}

static void restore(void) {
    if (!restore_app(session.left.base, restoring.size)) {
        session.phase = REFUSED;
        return;
    }
    if (--restoring.states != 0) {
        return;
    }
    session.seq = restoring.seq;
    session.out = restoring.out;
    session.owes_ack = true;
    session.phase = RUNNING;
}

static void take_state(const uint8_t *body, size_t size) {
    struct edge_reader r;
    bool indefinite;
    uint64_t id;
    uint64_t seq;
    uint64_t out;
    uint64_t index;
    uint64_t count;
    const uint8_t *bytes;
    size_t n;
    edge_reader_init(&r, body, size);
    if (!edge_read_array(&r, 6, &indefinite) || !edge_read_uint(&r, &id) || !edge_read_uint(&r, &seq) ||
        !edge_read_uint(&r, &out) || !edge_read_uint(&r, &index) || !edge_read_uint(&r, &count) ||
        !edge_read_string(&r, EDGE_BYTES, &bytes, &n) || !edge_read_close(&r, indefinite) || !edge_read_end(&r)) {
        edge_refuse("malformed piece of state", 0, 0);
        return;
    }
    bool first = session.phase == READY;
    bool next =
        session.phase == RESTORING && restoring.next == restoring.count && seq == restoring.seq && out == restoring.out;
    if ((first || next) && index == 0 && count != 0) {
        if (first && edge_shard.count == 0) {
            restoring.states = 1;
        }
        restoring.id = id;
        restoring.seq = seq;
        restoring.out = out;
        restoring.count = count;
        restoring.next = 0;
        restoring.size = 0;
        session.phase = RESTORING;
    } else if (session.phase != RESTORING || id != restoring.id || seq != restoring.seq || out != restoring.out ||
               count != restoring.count || index != restoring.next) {
        edge_refuse("a piece of state is out of order", 0, 0);
        return;
    }
    if (n > session.left.size - restoring.size) {
        edge_refuse("the state does not fit into free memory", restoring.size + n, session.left.size);
        return;
    }
    memcpy(session.left.base + restoring.size, bytes, n);
    restoring.size += n;
    if (++restoring.next == restoring.count) {
        restore();
    }
}

/* Before the states of other guests. */
static bool take_shard(const uint8_t *body, size_t size) {
    uint64_t values[3];
    if (!read_values(body, size, values, 3) || values[1] == 0 || values[1] > EDGE_MAX_SHARDS ||
        values[0] >= values[1] || values[2] == 0) {
        return false;
    }
    edge_shard.index = (uint32_t)values[0];
    edge_shard.count = (uint32_t)values[1];
    restoring.states = values[2];
    return true;
}

static void save_once(bool counting) {
    uint8_t prefix[STATE_PREFIX] = {STATE_FORMAT};
    saving.counting = counting;
    edge_put_be64(prefix + 1, edge_log_rate.second);
    edge_put_be32(prefix + 9, edge_log_rate.used);
    edge_state_write(prefix, sizeof prefix);
    edge_app.save();
}

static void take_checkpoint(uint64_t id) {
    saving.id = id;
    saving.total = 0;
    saving.index = 0;
    saving.held = 0;
    save_once(true);
    save_once(false);
    if (saving.held != 0) {
        send_piece();
    }
}

static void take_input(uint8_t type, const uint8_t *body, size_t size) {
    struct edge_reader r;
    struct edge_item head;
    uint64_t seq;
    uint64_t time;
    edge_reader_init(&r, body, size);
    if (!edge_read(&r, &head) || head.kind != EDGE_ARRAY || !edge_read_uint(&r, &seq) || !edge_read_uint(&r, &time)) {
        edge_panic("malformed input frame");
    }
    session.owes_ack = true;
    if (seq <= session.seq) {
        return; /* said again after a reconnect: processed already */
    }
    if (seq != session.seq + 1) {
        edge_panic("sequence gap");
    }
    session.phase = RUNNING;
    session.seq = seq;
    edge_log_time(time);
    edge_app.input(type, body, size);
}

/* Inputs that other guests of the unit get. */
static bool take_skip(const uint8_t *body, size_t size) {
    uint64_t range[2];
    if (!read_values(body, size, range, 2) || range[0] > range[1]) {
        return false;
    }
    if (range[0] != session.seq + 1) {
        edge_panic("sequence gap");
    }
    session.owes_ack = true;
    session.phase = RUNNING;
    session.seq = range[1];
    return true;
}

/* Calibration: one iteration is 3 guest instructions (add, decrement, branch), 4 on mips64el (a delay slot);
 * tests/guest/test_lib_spin.py reads it off the compiled code. The empty asm makes the sum unknowable, so that the loop
 * can't be replaced by its closed form. */
__attribute__((noinline)) static uint64_t spin(uint64_t iterations) {
    uint64_t sum = 0;
    while (iterations != 0) {
        sum += iterations;
        __asm__ volatile("" : "+r"(sum));
        iterations--;
    }
    return sum;
}

static void take_frame(uint8_t type, const uint8_t *body, size_t size) {
    uint64_t value;
    bool running = session.phase == READY || session.phase == RUNNING;
    if (session.phase == REFUSED) {
        return;
    }
    switch (type) {
    case EDGE_HELLO:
        take_hello(body, size);
        return;
    case EDGE_PING:
        if (read_values(body, size, &value, 1)) {
            send_two(EDGE_PONG, value, session.seq);
            return;
        }
        break;
    case EDGE_SPIN:
        if (read_values(body, size, &value, 1)) {
            send_two(EDGE_SPUN, value, spin(value));
            return;
        }
        break;
    case EDGE_STATE:
        if (session.phase == READY || session.phase == RESTORING) {
            take_state(body, size);
            return;
        }
        break;
    case EDGE_SHARD:
        if (session.phase == READY && edge_shard.count == 0 && take_shard(body, size)) {
            return;
        }
        break;
    case EDGE_SKIP:
        if (running && take_skip(body, size)) {
            return;
        }
        break;
    case EDGE_CHECKPOINT:
        if (running && read_values(body, size, &value, 1)) {
            take_checkpoint(value);
            return;
        }
        break;
    case EDGE_READING:
    case EDGE_TICK:
    case EDGE_DRAIN:
        if (running) {
            take_input(type, body, size);
            return;
        }
        break;
    default:
        break;
    }
    edge_panic("unexpected or malformed frame");
}

void edge_session_feed(const uint8_t *bytes, size_t size) {
    if (session.phase == EXPECT_HELLO) {
        edge_log_begin();
    }
    edge_frames_feed(bytes, size, take_frame);
    if (edge_frames_skipped() != session.reported_skips) {
        session.reported_skips = edge_frames_skipped();
        edge_log(EDGE_WARNING, "channel: skipped bytes in search of a frame");
    }
}

void edge_session_idle(void) {
    if (session.owes_ack && session.phase == RUNNING) {
        session.owes_ack = false;
        send_two(EDGE_ACK, session.seq, session.out);
    }
}

void edge_session_reset(void) {
    memset(&session, 0, sizeof session);
    memset(&edge_shard, 0, sizeof edge_shard);
    memset(&edge_log_rate, 0, sizeof edge_log_rate);
    edge_frames_reset();
}

#pragma clang attribute pop
