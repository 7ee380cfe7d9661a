/* The work of the gate benchmark in C11: orders judged by the limits of their accounts.

   The same rules as workers/kernels/gate.py, over rows of int64 as the file has them; books are
   known by their two best prices. Verdicts that differ from those in the file are an error.

   limit_gate FILE PASSES SAMPLE_EVERY CORE
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

typedef int64_t i64;
typedef struct {
    i64 quantity_max, notional_max, collar_bps, position_max, credit_max, messages_max, window_ns;
    i64 switched, reduce_when_off, open, held;
} limits_t;
typedef struct { limits_t is; i64 window_from_ns, messages; } account_t;
typedef struct { i64 position, open[2]; } standing_t;
typedef struct { i64 account, instrument, side, bits, price, left, time_ns; } order_t;
typedef struct { i64 display, stop, expiry, peg; } condition_t;
typedef struct { i64 tick, lot, reference, bid, ask; } terms_t;

enum { IOC = 2, FOK = 3, GTD = 4, TIF = 7, MARKET = 8, POST = 16, STP_BITS = 5, STP_LAST = 4, PEG = 1 };
enum { HALTED = 2, PAUSED = 3, QUOTING = 4, PARTS_MAX = 1000, BPS = 10000 };
enum {
    UNKNOWN_ACCOUNT = 1 << 2, BAD_VALUE = 1 << 4, OFF_TICK = 1 << 5, OFF_LOT = 1 << 6, SWITCHED_OFF = 1 << 7,
    IS_HALTED = 1 << 8, MAX_QUANTITY = 1 << 9, MAX_NOTIONAL = 1 << 10, COLLAR = 1 << 11, POSITION = 1 << 12,
    CREDIT = 1 << 13, RATE = 1 << 14, POST_ONLY = 1 << 15
};
#define PRICE_MAX ((i64)1 << 40)
#define WORTH_MAX ((i64)1 << 60)
#define EXPOSURE_MAX ((i64)1 << 61)

static i64 accounts_count, instruments, orders_count, quantity_max, switched_all;
static terms_t *terms;
static i64 *states;
static account_t *accounts, *accounts_before;
static standing_t *standings;
static order_t *orders;
static i64 *wanted, *verdicts;
static condition_t none; /* what an order that names no conditions has */

static i64 cycles(void) {
#if defined(__x86_64__)
    return (i64)__rdtsc();
#elif defined(__aarch64__)
    i64 count;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(count));
    return count;
#endif
}

static i64 now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static i64 messages(account_t *account, i64 now) {
    i64 reasons = 0;
    if (account->is.messages_max) {
        if (!account->messages || now - account->window_from_ns >= account->is.window_ns)
            account->window_from_ns = now, account->messages = 0;
        if (++account->messages > account->is.messages_max) reasons |= RATE;
    }
    return reasons;
}

static int makes_no_sense(const order_t *order, const condition_t *more) {
    i64 tif = order->bits & TIF, market = order->bits & MARKET, post = order->bits & POST;
    if (order->side > 1 || tif > GTD || order->bits >> STP_BITS > STP_LAST) return 1;
    if (order->left <= 0 || order->left > quantity_max) return 1;
    if (more->stop < 0 || more->stop > PRICE_MAX || more->display < 0 || more->display > quantity_max) return 1;
    if (more->display > 0 && more->display * PARTS_MAX < order->left) return 1;
    if (order->price < 0 || order->price > PRICE_MAX || more->peg & ~PEG) return 1;
    if (tif == GTD && more->expiry <= order->time_ns) return 1;
    int at_once = tif == IOC || tif == FOK;
    if (more->peg) return market || post || at_once || more->stop > 0 || more->display > 0;
    if (market) return order->price > 0 || post || more->display > 0;
    return order->price == 0 || (post && (at_once || more->stop > 0));
}

static i64 limits(const account_t *account, const standing_t *standing, const order_t *order, i64 unit, i64 base) {
    const limits_t *most = &account->is;
    i64 reasons = 0, left = order->left, worth = WORTH_MAX;
    if ((double)unit * (double)left < (double)WORTH_MAX) worth = unit * left;
    i64 reach = standing->open[order->side] + left + (order->side ? -standing->position : standing->position);
    i64 position_max = most->position_max ? most->position_max : EXPOSURE_MAX;
    i64 credit_max = most->credit_max && reach > 0 ? most->credit_max : EXPOSURE_MAX;
    i64 away = order->price > base ? order->price - base : base - order->price;
    if (most->quantity_max && left > most->quantity_max) reasons |= MAX_QUANTITY;
    if (worth == WORTH_MAX || (most->notional_max && worth > most->notional_max && reach > 0)) reasons |= MAX_NOTIONAL;
    if (most->collar_bps && base && order->price && away * BPS > base * most->collar_bps) reasons |= COLLAR;
    if (reach > position_max) reasons |= POSITION;
    if (most->open + most->held + worth > credit_max) reasons |= CREDIT;
    if (most->switched && !(reach <= 0 && most->reduce_when_off)) reasons |= SWITCHED_OFF;
    return reasons;
}

static i64 judge(const order_t *order, const condition_t *more) {
    const terms_t *rule = terms + order->instrument;
    i64 state = states[order->instrument], tif = order->bits & TIF, reasons = switched_all ? SWITCHED_OFF : 0;
    int collecting = state == PAUSED || state == QUOTING;
    int known = order->account >= 0 && order->account < accounts_count;
    account_t *account = accounts + (known ? order->account : 0);
    if (state == HALTED || (collecting && !more->stop && (tif == IOC || tif == FOK))) reasons |= IS_HALTED;
    reasons |= known ? messages(account, order->time_ns) : UNKNOWN_ACCOUNT;
    if (makes_no_sense(order, more)) return reasons | BAD_VALUE | (known && account->is.switched ? SWITCHED_OFF : 0);
    if (rule->tick > 1 && (order->price % rule->tick || more->stop % rule->tick)) reasons |= OFF_TICK;
    if (rule->lot > 1 && (order->left % rule->lot || more->display % rule->lot)) reasons |= OFF_LOT;
    i64 best = order->side ? rule->bid : rule->ask;
    if (order->bits & POST && best && !collecting && (order->side ? best >= order->price : best <= order->price))
        reasons |= POST_ONLY;
    if (known) {
        const standing_t *standing = standings + order->account * instruments + order->instrument;
        i64 unit = order->price ? order->price : more->stop ? more->stop : rule->reference;
        reasons |= limits(account, standing, order, unit, rule->reference);
    }
    return reasons;
}

static i64 pass(i64 every, i64 *samples) {
    i64 sampled = 0;
    memcpy(accounts, accounts_before, (size_t)accounts_count * sizeof(account_t));
    for (i64 number = 0; number < orders_count; number++) {
        if (every == 0 || number % every) {
            verdicts[number] = judge(orders + number, &none);
        } else {
            i64 begun = cycles();
            verdicts[number] = judge(orders + number, &none);
            samples[sampled++] = cycles() - begun;
        }
    }
    return sampled;
}

static int by_size(const void *one, const void *other) {
    i64 a = *(const i64 *)one, b = *(const i64 *)other;
    return (a > b) - (a < b);
}

static void *rows(FILE *file, i64 count, size_t size) {
    void *made = aligned_alloc(64, ((size_t)count * size + 63) / 64 * 64);
    if (!made || fread(made, size, (size_t)count, file) != (size_t)count) exit(3);
    return made;
}

int main(int count, char **words) {
    FILE *file = count == 5 ? fopen(words[1], "rb") : NULL;
    if (!file) return fprintf(stderr, "usage: see the head of limit_gate.c\n"), 2;
    cpu_set_t core;
    CPU_ZERO(&core);
    CPU_SET((size_t)atoi(words[4]), &core);
    sched_setaffinity(0, sizeof core, &core);
    i64 *head = rows(file, 4, sizeof(i64));
    accounts_count = head[0], instruments = head[1], orders_count = head[2], quantity_max = head[3];
    terms_t *one = rows(file, 1, sizeof(terms_t));
    states = rows(file, instruments, sizeof(i64));
    limits_t *given = rows(file, accounts_count, sizeof(limits_t));
    standings = rows(file, accounts_count * instruments, sizeof(standing_t));
    orders = rows(file, orders_count, sizeof(order_t));
    wanted = rows(file, orders_count, sizeof(i64));
    terms = calloc((size_t)instruments, sizeof(terms_t));
    for (i64 number = 0; number < instruments; number++) terms[number] = *one;
    accounts = calloc((size_t)accounts_count, sizeof(account_t));
    accounts_before = calloc((size_t)accounts_count, sizeof(account_t));
    for (i64 number = 0; number < accounts_count; number++) accounts_before[number].is = given[number];
    verdicts = calloc((size_t)orders_count, sizeof(i64));
    i64 passes = atoll(words[2]), every = atoll(words[3]);
    i64 *samples = calloc((size_t)orders_count, sizeof(i64)), *spans = calloc((size_t)passes, sizeof(i64));
    pass(0, NULL);
    for (i64 number = 0; number < passes; number++) {
        i64 begun = now_ns();
        pass(0, NULL);
        spans[number] = now_ns() - begun;
    }
    qsort(spans, (size_t)passes, sizeof(i64), by_size);
    i64 begun_ns = now_ns(), begun_cycles = cycles();
    i64 sampled = pass(every, samples);
    while (now_ns() - begun_ns < 10000000) { }
    double scale = (double)(now_ns() - begun_ns) / (double)(cycles() - begun_cycles);
    qsort(samples, (size_t)sampled, sizeof(i64), by_size);
    static const double PERCENTS[] = {50, 90, 99, 99.9};
    printf("{\"ns\": %.2f, ", (double)spans[passes / 2] / (double)orders_count);
    for (int number = 0; number < 4; number++) {
        i64 rank = (i64)(PERCENTS[number] / 100 * (double)sampled);
        printf("\"one p%g\": %.1f, ", PERCENTS[number], (double)samples[rank < sampled ? rank : sampled - 1] * scale);
    }
    int same = !memcmp(verdicts, wanted, (size_t)orders_count * sizeof(i64));
    printf("\"one max\": %.1f, \"verified\": %s}\n", (double)samples[sampled - 1] * scale, same ? "true" : "false");
    return 0;
}
