/* The work of the option benchmark in C11, as gcc vectorises it with glibc's libmvec.

   Built with -ffast-math: exp, log and erf are then libmvec's packed ones. The distribution is
   (1 + erf(x / sqrt 2)) / 2, the quickest form here, with no correct digits in its lower tail.

   options_libmvec FILE PASSES CORE     FILE: count, then the columns of float64 that INPUTS names,
                                        then the prices that ours gives, spots moved by no tick
   Prints one line of JSON: ns an option, the median pass. */

#define _GNU_SOURCE
#include <math.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { INPUTS = 7, OUTPUTS = 6, CONSTANTS = 13 };
typedef double *restrict column;
static double *in[INPUTS], *out[OUTPUTS], *pre[CONSTANTS], *theirs;
static long count;

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static double *column_of(void) {
    double *made = aligned_alloc(64, (count * sizeof(double) + 63) / 64 * 64);
    if (!made) exit(2);
    return made;
}

static inline double normal(double x) { return 0.5 + 0.5 * erf(x * M_SQRT1_2); }

static void all_inputs(column kind, column spot, column strike, column rate, column dividend,
                       column expiry, column volatility, column price, column delta, column gamma,
                       column vega, column theta, column rho) {
    for (long i = 0; i < count; i++) {
        double root = sqrt(expiry[i]), s = volatility[i] * root;
        double growth = exp(-dividend[i] * expiry[i]), discount = exp(-rate[i] * expiry[i]);
        double d1 = (log(spot[i] / strike[i]) + (rate[i] - dividend[i]) * expiry[i]) / s + 0.5 * s;
        double n1 = normal(kind[i] * d1), n2 = normal(kind[i] * (d1 - s));
        double density = growth * 0.3989422804014327 * exp(-0.5 * d1 * d1);
        double asset = spot[i] * growth, cash = strike[i] * discount;
        price[i] = kind[i] * (asset * n1 - cash * n2);
        delta[i] = kind[i] * growth * n1;
        gamma[i] = density / (spot[i] * s);
        vega[i] = spot[i] * density * root;
        theta[i] = -spot[i] * density * volatility[i] / (2 * root)
                   + kind[i] * (dividend[i] * asset * n1 - rate[i] * cash * n2);
        rho[i] = kind[i] * expiry[i] * cash * n2;
    }
}

static void prepare(void) {
    for (long i = 0; i < count; i++) {
        double root = sqrt(in[5][i]), s = in[6][i] * root, growth = exp(-in[4][i] * in[5][i]);
        double cash = in[2][i] * exp(-in[3][i] * in[5][i]);
        pre[0][i] = (in[3][i] - in[4][i]) * in[5][i] - log(in[2][i]);
        pre[1][i] = 1 / s, pre[2][i] = s;
        pre[3][i] = in[0][i], pre[4][i] = in[0][i] * growth, pre[5][i] = in[0][i] * cash;
        pre[6][i] = growth * 0.3989422804014327, pre[7][i] = growth * 0.3989422804014327 / s;
        pre[8][i] = root, pre[9][i] = in[6][i] / (2 * root);
        pre[10][i] = in[4][i] * in[0][i] * growth, pre[11][i] = in[3][i] * in[0][i] * cash;
        pre[12][i] = in[0][i] * in[5][i] * cash;
    }
}

static void tick(double spot, column log_part, column per_s, column s, column kind, column asset,
                 column cash, column density_of, column gamma_of, column root, column pace,
                 column earning, column paying, column rho_of, column price, column delta,
                 column gamma, column vega, column theta, column rho) {
    double log_spot = log(spot), per_spot = 1 / spot;
    for (long i = 0; i < count; i++) {
        double d1 = (log_spot + log_part[i]) * per_s[i] + 0.5 * s[i];
        double n1 = normal(kind[i] * d1), n2 = normal(kind[i] * (d1 - s[i]));
        double bell = exp(-0.5 * d1 * d1), density = spot * density_of[i] * bell;
        price[i] = spot * asset[i] * n1 - cash[i] * n2;
        delta[i] = asset[i] * n1;
        gamma[i] = gamma_of[i] * bell * per_spot;
        vega[i] = density * root[i];
        theta[i] = spot * earning[i] * n1 - paying[i] * n2 - density * pace[i];
        rho[i] = rho_of[i] * n2;
    }
}

static void run(int ticks, double spot) {
    if (ticks)
        tick(spot, pre[0], pre[1], pre[2], pre[3], pre[4], pre[5], pre[6], pre[7], pre[8], pre[9],
             pre[10], pre[11], pre[12], out[0], out[1], out[2], out[3], out[4], out[5]);
    else
        all_inputs(in[0], in[1], in[2], in[3], in[4], in[5], in[6], out[0], out[1], out[2], out[3],
                   out[4], out[5]);
}

static int in_order(const void *one, const void *other) {
    int64_t a = *(const int64_t *)one, b = *(const int64_t *)other;
    return (a > b) - (a < b);
}

static double measured(int ticks, long passes, double *worst) {
    int64_t *spans = malloc(passes * sizeof *spans);
    if (!spans) exit(2);
    double spot = in[1][0];
    for (long pass = 0; pass < passes; pass++) {
        int64_t begun = now_ns();
        run(ticks, spot + 1e-4 * pass);
        spans[pass] = now_ns() - begun;
    }
    run(ticks, spot);
    for (long i = 0; i < count; i++) *worst = fmax(*worst, fabs(out[0][i] - theirs[i]) / spot);
    qsort(spans, passes, sizeof *spans, in_order);
    double median = (double)spans[passes / 2] / count;
    free(spans);
    return median;
}

int main(int words, char **word) {
    if (words != 4) return 2;
    FILE *file = fopen(word[1], "rb");
    int64_t wanted = 0;
    if (!file || fread(&wanted, sizeof wanted, 1, file) != 1) return 2;
    count = wanted;
    long passes = atol(word[2]);
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(atoi(word[3]), &cores);
    sched_setaffinity(0, sizeof cores, &cores);
    for (int i = 0; i < INPUTS; i++) {
        in[i] = column_of();
        if (fread(in[i], sizeof(double), count, file) != (size_t)count) return 2;
    }
    theirs = column_of();
    if (fread(theirs, sizeof(double), count, file) != (size_t)count) return 2;
    fclose(file);
    for (int i = 0; i < OUTPUTS; i++) out[i] = column_of();
    for (int i = 0; i < CONSTANTS; i++) pre[i] = column_of();
    prepare();
    double worst = 0, raw = measured(0, passes, &worst), ticks = measured(1, passes, &worst);
    printf("{\"verified\": %s, \"raw\": %.4f, \"tick\": %.4f}\n", worst < 1e-11 ? "true" : "false",
           raw, ticks);
    return 0;
}
