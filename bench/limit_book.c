/* The work of the book benchmark in C11: ITCH 5.0 bytes to the totals at every price of every symbol.

   Orders lie in one table, open addressing by reference; each side of a symbol is an array sorted
   by key, a bid's price or an ask's price negated, so that the best is the last. No queues of
   orders, no record of what changed: less than ours keeps. The digest is that of bench/book.py.

   limit_book FILE ORDERS SAMPLE_EVERY CORE     ORDERS: a power of two, twice the most that rest
   Prints one line of JSON. */

#define _GNU_SOURCE
#include <inttypes.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

enum { SYMBOLS = 1 << 16, ROOM = 8 };
typedef int64_t i64;
typedef struct { i64 reference; uint32_t price, quantity; uint16_t symbol, side; uint32_t used; } order_t;
typedef struct { i64 key, quantity; } level_t;
typedef struct { level_t *levels; int count, room; } side_t;

static order_t *orders;
static size_t mask;
static side_t sides[2 * SYMBOLS];

static i64 cycles(void) {
#if defined(__x86_64__)
    return (i64)__rdtsc();
#elif defined(__aarch64__)
    i64 count;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(count));
    return count;
#endif
}

static i64 ns_of(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static uint16_t u16(const uint8_t *at) { uint16_t n; memcpy(&n, at, 2); return __builtin_bswap16(n); }
static uint32_t u32(const uint8_t *at) { uint32_t n; memcpy(&n, at, 4); return __builtin_bswap32(n); }
static i64 i64_of(const uint8_t *at) { uint64_t n; memcpy(&n, at, 8); return (i64)__builtin_bswap64(n); }

static size_t home(i64 reference) {
    return (size_t)(((uint64_t)reference * 0x9E3779B97F4A7C15u) >> 20) & mask;
}

static order_t *seek(i64 reference) {
    size_t place = home(reference);
    while (orders[place].used && orders[place].reference != reference) place = (place + 1) & mask;
    return orders + place;
}

static void forget(order_t *order) {
    size_t gap = (size_t)(order - orders), place = (gap + 1) & mask;
    for (; orders[place].used; place = (place + 1) & mask)
        if (((place - home(orders[place].reference)) & mask) >= ((place - gap) & mask)) {
            orders[gap] = orders[place];
            gap = place;
        }
    orders[gap].used = 0;
}

static void change(uint16_t symbol, int ask, uint32_t price, i64 quantity) {
    side_t *side = sides + 2 * symbol + ask;
    i64 key = ask ? -(i64)price : (i64)price;
    int place = side->count;
    while (place > 0 && side->levels[place - 1].key > key) place--;
    if (place > 0 && side->levels[place - 1].key == key) {
        level_t *level = side->levels + place - 1;
        level->quantity += quantity;
        if (level->quantity > 0) return;
        memmove(level, level + 1, (size_t)(side->count - place) * sizeof(level_t));
        side->count--;
        return;
    }
    if (side->count == side->room) {
        side->room = side->room ? 2 * side->room : ROOM;
        side->levels = realloc(side->levels, (size_t)side->room * sizeof(level_t));
    }
    memmove(side->levels + place + 1, side->levels + place,
            (size_t)(side->count - place) * sizeof(level_t));
    side->levels[place] = (level_t){key, quantity};
    side->count++;
}

static void add(i64 reference, uint16_t symbol, int ask, uint32_t quantity, uint32_t price) {
    *seek(reference) = (order_t){reference, price, quantity, symbol, (uint16_t)ask, 1};
    change(symbol, ask, price, quantity);
}

static void reduce(i64 reference, uint32_t quantity) {
    order_t *order = seek(reference);
    if (!order->used) return;
    if (quantity > order->quantity) quantity = order->quantity;
    change(order->symbol, order->side, order->price, -(i64)quantity);
    order->quantity -= quantity;
    if (order->quantity == 0) forget(order);
}

static void apply(const uint8_t *message) {
    switch (message[0]) {
    case 'A': case 'F':
        add(i64_of(message + 11), u16(message + 1), message[19] == 'S', u32(message + 20), u32(message + 32));
        break;
    case 'E': case 'C': case 'X':
        reduce(i64_of(message + 11), u32(message + 19));
        break;
    case 'D':
        reduce(i64_of(message + 11), UINT32_MAX);
        break;
    case 'U': {
        order_t old = *seek(i64_of(message + 11));
        if (!old.used) break;
        reduce(old.reference, UINT32_MAX);
        add(i64_of(message + 19), old.symbol, old.side, u32(message + 27), u32(message + 31));
    }
    }
}

static i64 pass(const uint8_t *data, size_t length, i64 every, i64 *samples, i64 *sampled) {
    i64 messages = 0;
    for (size_t at = 0; at + 2 < length; at += 2 + (size_t)u16(data + at), messages++) {
        if (every == 0 || messages % every) {
            apply(data + at + 2);
        } else {
            i64 begun = cycles();
            apply(data + at + 2);
            samples[(*sampled)++] = cycles() - begun;
        }
    }
    return messages;
}

static void start_over(void) {
    memset(orders, 0, (mask + 1) * sizeof(order_t));
    for (int owner = 0; owner < 2 * SYMBOLS; owner++) sides[owner].count = 0;
}

static i64 stir(i64 value, i64 number) {
    for (int shift = 0; shift < 63; shift += 31) {
        i64 low = (value & 0xFFFFFFFF) ^ ((number >> shift) & 0x7FFFFFFF);
        value = (low * 0x5BD1E995) ^ ((value >> 32) * 0x6C8E9CF5);
        value ^= value >> 29;
    }
    return value;
}

static i64 digest(i64 *levels) {
    i64 value = 0x4BF29CE484222325;
    for (int owner = 0; owner < 2 * SYMBOLS; owner++)
        for (int place = sides[owner].count - 1; place >= 0; place--, (*levels)++) {
            level_t level = sides[owner].levels[place];
            value = stir(stir(stir(value, owner), level.key < 0 ? -level.key : level.key), level.quantity);
        }
    return value;
}

static int by_size(const void *one, const void *other) {
    i64 a = *(const i64 *)one, b = *(const i64 *)other;
    return (a > b) - (a < b);
}

int main(int count, char **words) {
    FILE *file = count == 5 ? fopen(words[1], "rb") : NULL;
    if (!file) return fprintf(stderr, "usage: see the head of limit_book.c\n"), 2;
    cpu_set_t core;
    CPU_ZERO(&core);
    CPU_SET((size_t)atoi(words[4]), &core);
    sched_setaffinity(0, sizeof core, &core);
    fseek(file, 0, SEEK_END);
    size_t length = (size_t)ftell(file);
    rewind(file);
    uint8_t *data = malloc(length + 64);
    if (fread(data, 1, length, file) != length) return 3;
    mask = (size_t)atoll(words[2]) - 1;
    orders = malloc((mask + 1) * sizeof(order_t));
    i64 *samples = calloc(length / 16 + 1, sizeof(i64)), sampled = 0, levels = 0;
    pass(data, 0, 0, NULL, NULL);
    start_over();
    i64 begun = ns_of(CLOCK_PROCESS_CPUTIME_ID);
    i64 messages = pass(data, length, 0, NULL, NULL);
    double each = (double)(ns_of(CLOCK_PROCESS_CPUTIME_ID) - begun) / (double)messages;
    i64 found = digest(&levels);
    start_over();
    i64 begun_ns = ns_of(CLOCK_MONOTONIC), begun_cycles = cycles();
    pass(data, length, atoll(words[3]), samples, &sampled);
    double scale = (double)(ns_of(CLOCK_MONOTONIC) - begun_ns) / (double)(cycles() - begun_cycles);
    qsort(samples, (size_t)sampled, sizeof(i64), by_size);
    static const double PERCENTS[] = {50, 90, 99, 99.9};
    printf("{\"ns\": %.2f, ", each);
    for (int number = 0; number < 4; number++) {
        i64 rank = (i64)(PERCENTS[number] / 100 * (double)sampled);
        double value = (double)samples[rank < sampled ? rank : sampled - 1] * scale;
        printf("\"one p%g\": %.1f, ", PERCENTS[number], value);
    }
    i64 again = 0;
    printf("\"one max\": %.1f, \"messages\": %" PRId64 ", \"levels\": %" PRId64 ", \"digest\": %" PRId64,
           (double)samples[sampled - 1] * scale, messages, levels, found);
    printf(", \"verified\": %s}\n", levels > 0 && digest(&again) == found ? "true" : "false");
    return 0;
}
