/* The ring's protocol in C11: what the machine allows, to hold the compiled kernels against.

   Same layout, same order of stores as ringbuf/ring.py: a slot's last 8 bytes are its sequence; the
   writer marks a slot with the negative sequence, fills it, stores the sequence with release order;
   stamps lie beside the slots; readers own a line each and release every 64 records; both sides
   ask for the line 32 slots ahead. Each side is a process pinned to a core of its own.

   limit throughput CAPACITY RECORDS WARM READERS STAMPED PATIENCE BATCH CORE... rates of each reader
   limit roundtrip  CAPACITY TRIPS   WARM PAUSES  STAMPED PATIENCE CORE CORE     percentiles of a trip
   limit offered    CAPACITY RECORDS WARM RATE    STAMPED PATIENCE CORE CORE     … of arrival - due
   Prints one line of JSON. */

#define _GNU_SOURCE
#include <inttypes.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

enum { SPACING = 128, READERS_MAX = 16, AHEAD = 32, RELEASE_EVERY = 64, WORDS = 8, PAGE = 4096 };
enum { READERS_END = SPACING * (1 + READERS_MAX), LEAD_NS = 20000000 };

typedef int64_t i64;
typedef struct { i64 words[WORDS - 1]; _Atomic i64 sequence; } slot_t;
typedef struct { i64 born, sent; } stamp_t;
typedef struct { _Atomic i64 written, closed; i64 gate, gated, high_water; } writer_t;
typedef struct { _Atomic i64 position, gating; } reader_t;
typedef struct { char *base; stamp_t *stamps; slot_t *slots; i64 mask; } ring_t;
typedef struct { i64 cycles, total; } outcome_t;

static i64 cycles(void) {
#if defined(__x86_64__)
    return (i64)__rdtsc();
#elif defined(__aarch64__)
    i64 count;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(count));
    return count;
#endif
}

static void rest(void) {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static writer_t *writer_of(const ring_t *ring) { return (writer_t *)ring->base; }
static reader_t *reader_of(const ring_t *ring, int number) {
    return (reader_t *)(ring->base + SPACING * (1 + number));
}
static slot_t *slot(const ring_t *ring, i64 sequence) { return ring->slots + (sequence & ring->mask); }
static stamp_t *stamp(const ring_t *ring, i64 sequence) {
    return ring->stamps + (sequence & ring->mask);
}

static i64 slowest(const ring_t *ring, i64 written) {
    i64 lowest = written;
    for (int number = 0; number < READERS_MAX; number++) {
        reader_t *reader = reader_of(ring, number);
        if (atomic_load_explicit(&reader->gating, memory_order_relaxed)) {
            i64 position = atomic_load_explicit(&reader->position, memory_order_acquire);
            if (position < lowest) lowest = position;
        }
    }
    return lowest;
}

static i64 room(const ring_t *ring, i64 sequence, i64 want) {
    writer_t *line = writer_of(ring);
    i64 free = line->gate + ring->mask + 2 - sequence;
    if (free < want) {
        line->gate = slowest(ring, sequence - 1);
        free = line->gate + ring->mask + 2 - sequence;
        i64 waiting = sequence - 1 - line->gate;
        if (waiting > line->high_water) line->high_water = waiting;
        line->gated += free < 1;
    }
    return free < want ? free : want;
}

static slot_t *claim(const ring_t *ring, i64 sequence) {
    slot_t *mine = slot(ring, sequence);
    __builtin_prefetch(slot(ring, sequence + AHEAD), 1, 3);
    atomic_store_explicit(&mine->sequence, -sequence, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    return mine;
}

static void publish(const ring_t *ring, i64 sequence, i64 born, i64 sent, int stamped) {
    if (stamped) *stamp(ring, sequence) = (stamp_t){born, sent};
    atomic_store_explicit(&slot(ring, sequence)->sequence, sequence, memory_order_release);
}

static void fill(slot_t *mine, i64 sequence) {
    for (int word = 0; word < WORDS - 1; word++) mine->words[word] = sequence + word;
}

static i64 sum(const slot_t *mine) {
    i64 total = atomic_load_explicit(&((slot_t *)mine)->sequence, memory_order_relaxed);
    for (int word = 0; word < WORDS - 1; word++) total += mine->words[word];
    return total;
}

static int arrived(const ring_t *ring, i64 sequence) {
    return atomic_load_explicit(&slot(ring, sequence)->sequence, memory_order_acquire) == sequence;
}

static void release(const ring_t *ring, int number, i64 sequence) {
    atomic_store_explicit(&reader_of(ring, number)->position, sequence, memory_order_release);
}

static void produce(ring_t ring, i64 last, int stamped, i64 patience, i64 batch) {
    i64 sequence = 1, empty = 0;
    while (sequence <= last) {
        i64 want = last + 1 - sequence < batch ? last + 1 - sequence : batch;
        i64 end = sequence + room(&ring, sequence, want);
        i64 now = cycles();
        if (end == sequence) {
            rest();
            if (++empty % patience == 0) sched_yield();
            continue;
        }
        for (; sequence < end; sequence++) {
            fill(claim(&ring, sequence), sequence);
            publish(&ring, sequence, now, now, stamped);
        }
        atomic_store_explicit(&writer_of(&ring)->written, sequence - 1, memory_order_release);
    }
}

static i64 consume(ring_t ring, int number, i64 first, i64 last, int stamped, i64 patience) {
    i64 sequence = first, total = 0, empty = 0;
    while (sequence <= last) {
        if (!arrived(&ring, sequence)) {
            rest();
            if (++empty % patience == 0) {
                release(&ring, number, sequence - 1);
                sched_yield();
            }
            continue;
        }
        __builtin_prefetch(slot(&ring, sequence + AHEAD), 0, 3);
        total += sum(slot(&ring, sequence));
        if (stamped) total += stamp(&ring, sequence)->sent == 0;
        if ((sequence & (RELEASE_EVERY - 1)) == 0) release(&ring, number, sequence);
        sequence++;
    }
    release(&ring, number, last);
    return total;
}

static i64 wait_and_sum(const ring_t *ring, i64 sequence, int pauses, int stamped) {
    while (!arrived(ring, sequence))
        for (int number = 0; number < pauses; number++) rest();
    i64 total = sum(slot(ring, sequence));
    if (stamped) total += stamp(ring, sequence)->sent == 0;
    if ((sequence & (RELEASE_EVERY - 1)) == 0) release(ring, 0, sequence);
    return total;
}

static void send_one(const ring_t *ring, i64 sequence, int stamped) {
    while (room(ring, sequence, 1) < 1) rest();
    fill(claim(ring, sequence), sequence);
    i64 now = stamped ? cycles() : 0;
    publish(ring, sequence, now, now, stamped);
}

static i64 echo(ring_t there, ring_t back, i64 last, int pauses, int stamped) {
    i64 total = 0;
    for (i64 sequence = 1; sequence <= last; sequence++) {
        total += wait_and_sum(&there, sequence, pauses, stamped);
        send_one(&back, sequence, stamped);
    }
    return total;
}

static i64 call(ring_t there, ring_t back, i64 last, int pauses, int stamped, i64 *trips) {
    i64 total = 0;
    for (i64 sequence = 1; sequence <= last; sequence++) {
        i64 begun = cycles();
        send_one(&there, sequence, stamped);
        total += wait_and_sum(&back, sequence, pauses, stamped);
        trips[sequence - 1] = cycles() - begun;
    }
    return total;
}

static i64 due(i64 start, double period, i64 sequence) {
    return start + (i64)((double)(sequence - 1) * period);
}

static void keep_up(ring_t ring, i64 last, int stamped, i64 start, double period) {
    for (i64 sequence = 1; sequence <= last; sequence++) {
        while (cycles() < due(start, period, sequence)) rest();
        send_one(&ring, sequence, stamped);
    }
}

static i64 arrivals(ring_t ring, i64 last, int stamped, i64 start, double period, i64 *late) {
    i64 total = 0;
    for (i64 sequence = 1; sequence <= last; sequence++) {
        total += wait_and_sum(&ring, sequence, 1, stamped);
        late[sequence - 1] = cycles() - due(start, period, sequence);
    }
    return total;
}

static void refuse(const char *what) {
    perror(what);
    exit(1);
}

static void pin(int core) {
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(core, &cores);
    if (sched_setaffinity(0, sizeof cores, &cores)) refuse("sched_setaffinity");
}

static char *shared(size_t size) {
    char *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) refuse("mmap");
    return memory;
}

static ring_t new_ring(i64 capacity, int readers) {
    char *base = shared(READERS_END + (size_t)capacity * (sizeof(stamp_t) + sizeof(slot_t)));
    stamp_t *stamps = (stamp_t *)(base + READERS_END);
    ring_t ring = {base, stamps, (slot_t *)(stamps + capacity), capacity - 1};
    for (int number = 0; number < readers; number++) reader_of(&ring, number)->gating = 1;
    return ring;
}

static void touch(const ring_t *ring) {
    size_t size = READERS_END + (size_t)(ring->mask + 1) * (sizeof(stamp_t) + sizeof(slot_t));
    volatile char seen = 0;
    for (size_t at = 0; at < size; at += PAGE) seen += ring->base[at];
}

static i64 expected(i64 first, i64 last) { /* 7 words of s + 0..6 and the sequence s itself */
    i64 count = last - first + 1;
    return 8 * (first + last) * count / 2 + 21 * count;
}

static double ns_per_cycle(void) {
    struct timespec before, after, wait = {0, 20000000};
    clock_gettime(CLOCK_MONOTONIC, &before);
    i64 since = cycles();
    nanosleep(&wait, NULL);
    clock_gettime(CLOCK_MONOTONIC, &after);
    i64 until = cycles();
    return ((after.tv_sec - before.tv_sec) * 1e9 + (after.tv_nsec - before.tv_nsec)) /
           (double)(until - since);
}

static void start_child(int core, const ring_t *ring) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pin(core);
    touch(ring);
}

static int throughput(char **words, double scale) {
    i64 capacity = atoll(words[0]), last = atoll(words[1]), warm = atoll(words[2]);
    int readers = atoi(words[3]), stamped = atoi(words[4]);
    i64 patience = atoll(words[5]), batch = atoll(words[6]);
    ring_t ring = new_ring(capacity, readers);
    outcome_t *outcomes = (outcome_t *)shared(PAGE);
    for (int number = 0; number < readers; number++) {
        if (fork() == 0) {
            start_child(atoi(words[8 + number]), &ring);
            i64 total = consume(ring, number, 1, warm, stamped, patience);
            i64 since = cycles();
            total += consume(ring, number, warm + 1, last, stamped, patience);
            outcomes[number] = (outcome_t){cycles() - since, total};
            _exit(0);
        }
    }
    start_child(atoi(words[7]), &ring);
    produce(ring, last, stamped, patience, batch);
    while (wait(NULL) > 0) {}
    int right = 1;
    printf("{\"rates\": [");
    for (int number = 0; number < readers; number++) {
        right &= outcomes[number].total == expected(1, last);
        double seconds = (double)outcomes[number].cycles * scale / 1e9;
        printf("%s%.1f", number ? ", " : "", (double)(last - warm) / seconds);
    }
    printf("], \"verified\": %s}\n", right ? "true" : "false");
    return 0;
}

static int by_size(const void *one, const void *other) {
    i64 a = *(const i64 *)one, b = *(const i64 *)other;
    return (a > b) - (a < b);
}

static void show(i64 *samples, i64 count, double scale, int right) {
    static const double PERCENTS[] = {50, 90, 99, 99.9, 99.99};
    qsort(samples, (size_t)count, sizeof(i64), by_size);
    printf("{");
    for (int number = 0; number < 5; number++) {
        i64 rank = (i64)(PERCENTS[number] / 100 * (double)count);
        i64 value = samples[rank < count ? rank : count - 1];
        printf("\"p%g\": %.1f, ", PERCENTS[number], (double)value * scale);
    }
    printf("\"max\": %.1f, \"verified\": %s}\n", (double)samples[count - 1] * scale,
           right ? "true" : "false");
}

static int roundtrip(char **words, double scale) {
    i64 capacity = atoll(words[0]), trips = atoll(words[1]), warm = atoll(words[2]);
    int pauses = atoi(words[3]), stamped = atoi(words[4]);
    ring_t there = new_ring(capacity, 1), back = new_ring(capacity, 1);
    outcome_t *outcome = (outcome_t *)shared(PAGE);
    i64 *samples = (i64 *)shared((size_t)(trips + warm) * sizeof(i64));
    if (fork() == 0) {
        start_child(atoi(words[7]), &there);
        touch(&back);
        outcome->total = echo(there, back, trips + warm, pauses, stamped);
        _exit(0);
    }
    start_child(atoi(words[6]), &there);
    touch(&back);
    i64 total = call(there, back, trips + warm, pauses, stamped, samples);
    while (wait(NULL) > 0) {}
    i64 whole = expected(1, trips + warm);
    show(samples + warm, trips, scale, total == whole && outcome->total == whole);
    return 0;
}

static int offered(char **words, double scale) {
    i64 capacity = atoll(words[0]), records = atoll(words[1]), warm = atoll(words[2]);
    double period = 1e9 / atof(words[3]) / scale;
    int stamped = atoi(words[4]);
    ring_t ring = new_ring(capacity, 1);
    outcome_t *outcome = (outcome_t *)shared(PAGE);
    i64 *late = (i64 *)shared((size_t)(records + warm) * sizeof(i64));
    i64 start = cycles() + (i64)(LEAD_NS / scale);
    if (fork() == 0) {
        start_child(atoi(words[7]), &ring);
        outcome->total = arrivals(ring, records + warm, stamped, start, period, late);
        _exit(0);
    }
    start_child(atoi(words[6]), &ring);
    keep_up(ring, records + warm, stamped, start, period);
    while (wait(NULL) > 0) {}
    show(late + warm, records, scale, outcome->total == expected(1, records + warm));
    return 0;
}

int main(int count, char **words) {
    double scale = ns_per_cycle();
    if (count >= 11 && !strcmp(words[1], "throughput") && count >= 10 + atoi(words[5]))
        return throughput(words + 2, scale);
    if (count == 10 && !strcmp(words[1], "roundtrip")) return roundtrip(words + 2, scale);
    if (count == 10 && !strcmp(words[1], "offered")) return offered(words + 2, scale);
    fprintf(stderr, "usage: see the head of limit.c\n");
    return 2;
}
