// Rows to integers under masks, and their products back to numbers: what split execution does to
// each number of a call, in one pass each way. Integers are exact mod 2^32 and their sums mod 2^64,
// in any order; floats are rounded in the same places in every variant, so all give the same bits.
// Plain loops over a block in the first cache, which compilers turn into vectors.
#pragma once

#include "rows.h"

namespace cloister {

// How finely each row is rounded: the largest power of two that takes its length to `room` at most.
struct Spacing {
    Rows input;
    double room;
    float* factors;
    float* steps;
    int64_t rows, columns;
};

// Rows [rows, columns] to `words` + masks; `sums`, if wanted, of words * image, by row.
struct Hiding {
    Rows input;
    const float* factors;  // a row's, powers of two; 0 makes a row of zeros
    const uint32_t* masks;  // none: zeros; may be `words`
    int64_t mask_stride;
    const uint64_t* image;  // none: no sums
    uint32_t* words;
    uint64_t* sums;
    int64_t rows, columns;
};

// Products - masks, as numbers; `sums`, if wanted, of (products - masks) * secret, by row.
struct Revealing {
    const uint32_t* products;
    const uint32_t* masks;  // none: zeros
    int64_t mask_stride;
    const int32_t* secret;  // none: no sums
    const float* steps;     // a row's
    const float* scales;    // a column's
    Rows output;
    uint64_t* sums;
    int64_t rows, columns;
};

// Both for one set of instructions; ranges are of rows.
struct Masking {
    void (*space)(const Spacing&, int64_t begin, int64_t end);
    void (*hide)(const Hiding&, int64_t begin, int64_t end);
    void (*reveal)(const Revealing&, int64_t begin, int64_t end);
};

constexpr int BLOCK = 256;
constexpr int LANES = 32;  // sums of squares: of each 32nd number, then halved
constexpr int64_t LEAST = -126, MOST = 120;  // normal powers of two both ways

static inline double squares(const Spacing& job, int64_t row) {
    alignas(64) double lanes[LANES] = {};
    alignas(64) float x[BLOCK];
    for (int64_t first = 0; first < job.columns; first += BLOCK) {
        const int64_t rest = job.columns - first;
        int count = rest < BLOCK ? int(rest) : BLOCK;
        read(job.input, row, first, count, x);
        while (count % LANES) x[count++] = 0;
        for (int i = 0; i < count; i += LANES)
            for (int lane = 0; lane < LANES; lane++) {
                const double value = x[i + lane];  // its square is exact
                lanes[lane] += value * value;
            }
    }
    for (int half = LANES / 2; half; half /= 2)
        for (int lane = 0; lane < half; lane++) lanes[lane] += lanes[lane + half];
    return lanes[0];
}

// 2^exponent; normal.
static inline float power_of_two(int64_t exponent) {
    return float_of(uint32_t(exponent + 127) << 23);
}

static void space(const Spacing& job, int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
        const double sum = squares(job, row);
        if (!(sum < __builtin_inf())) {
            job.factors[row] = 0;
            job.steps[row] = __builtin_nanf("");
            continue;
        }
        const double ratio = job.room / __builtin_sqrt(sum);  // infinite for a row of zeros
        uint64_t bits;
        memcpy(&bits, &ratio, sizeof bits);
        int64_t exponent = sum > 0 ? int64_t(bits >> 52) - 1023 : 0;
        exponent = exponent < LEAST ? LEAST : exponent > MOST ? MOST : exponent;
        job.factors[row] = power_of_two(exponent);
        job.steps[row] = power_of_two(-exponent);
    }
}

// The nearest integer, ties to even, for |value| < 2^31. Below 2^23 adding and taking away 2^23
// rounds; from there on a float has no fraction.
static inline int32_t nearest_wide(float value) {
    const uint32_t sign = bits_of(value) & 0x80000000u;
    const float rounder = float_of(sign | 0x4b000000u);  // 2^23 with the value's sign
    const float rounded = (value + rounder) - rounder;
    const bool has_fraction = (bits_of(value) & 0x7fffffffu) < 0x4b000000u;
    return int32_t(has_fraction ? rounded : value);
}

static inline void quantise_block(const Rows& rows, int64_t row, int64_t first, int count,
                                  float factor, int32_t* words) {
    if (factor == 0) {  // such a row may hold what is no number
        memset(words, 0, sizeof *words * count);
        return;
    }
    alignas(64) float x[BLOCK];
    read(rows, row, first, count, x);
    for (int i = 0; i < count; i++) words[i] = nearest_wide(x[i] * factor);
}

static void hide(const Hiding& job, int64_t begin, int64_t end) {
    alignas(64) int32_t words[BLOCK];
    for (int64_t row = begin; row < end; row++) {
        uint64_t sum = 0;
        for (int64_t first = 0; first < job.columns; first += BLOCK) {
            const int64_t rest = job.columns - first;
            const int count = rest < BLOCK ? int(rest) : BLOCK;
            quantise_block(job.input, row, first, count, job.factors[row], words);
            if (job.image) {
                const uint64_t* image = job.image + first;
                for (int i = 0; i < count; i++) sum += uint64_t(int64_t(words[i])) * image[i];
            }
            uint32_t* to = job.words + row * job.columns + first;
            if (job.masks) {
                const uint32_t* masks = job.masks + row * job.mask_stride + first;
#pragma GCC ivdep  // `masks` and `to` are the same or apart
                for (int i = 0; i < count; i++) to[i] = uint32_t(words[i]) + masks[i];
            } else {
                memcpy(to, words, sizeof *words * count);
            }
        }
        if (job.image) job.sums[row] = sum;
    }
}

static void reveal(const Revealing& job, int64_t begin, int64_t end) {
    alignas(64) int32_t words[BLOCK];
    alignas(64) float y[BLOCK];
    for (int64_t row = begin; row < end; row++) {
        uint64_t sum = 0;
        for (int64_t first = 0; first < job.columns; first += BLOCK) {
            const int64_t rest = job.columns - first;
            const int count = rest < BLOCK ? int(rest) : BLOCK;
            const uint32_t* products = job.products + row * job.columns + first;
            if (job.masks) {
                const uint32_t* masks = job.masks + row * job.mask_stride + first;
                for (int i = 0; i < count; i++) words[i] = int32_t(products[i] - masks[i]);
            } else {
                memcpy(words, products, sizeof *words * count);
            }
            if (job.secret) {
                const int32_t* secret = job.secret + first;
                for (int i = 0; i < count; i++) sum += uint64_t(int64_t(words[i]) * secret[i]);
            }
            for (int i = 0; i < count; i++)
                y[i] = float(words[i]) * job.steps[row] * job.scales[first + i];
            write(job.output, row, first, count, y);
        }
        if (job.secret) job.sums[row] = sum;
    }
}

}  // namespace cloister
