// Rows of activations to int8, by group, or to bf16. Plain loops that compilers turn into vectors;
// the same operations in every variant, so that all give the same bits.
#pragma once

#include "rounding.h"
#include "rows.h"

namespace cloister {

constexpr int MOST_GROUP = 256;  // checked in Python
constexpr int LANES = 16;
// A group that is not finite becomes zeros with a scale of NaN: it spoils its own row alone.
static inline void quantise_group(const float* x, int group, int32_t zero, int8_t* values,
                                  float* scale, int32_t* start) {
    const float largest = largest_size(x, group);
    const bool finite = is_finite(largest), counts = finite && largest >= SMALLEST;
    const float inverse = counts ? LARGEST / largest : 0.0f;
    int32_t sum = 0;
    for (int i = 0; i < group; i++) {
        const int32_t value = counts ? nearest(x[i] * inverse) : 0;
        values[i] = int8_t(value);
        sum += value;
    }
    *scale = finite ? (counts ? largest / LARGEST : 0.0f) : NOT_A_NUMBER;
    *start = -zero * sum;
}

// What RMSNorm (Zhang and Sennrich 2019) multiplies a row with: 1 / sqrt(mean of squares + epsilon).
// LANES sums, each over every LANES-th number, then these in order.
static inline float inverse_size(const Product& product, int64_t row) {
    const int64_t inputs = product.linear.matrix.inputs;
    float sums[LANES] = {}, x[LANES] = {};
    for (int64_t first = 0; first < inputs; first += LANES) {
        const int64_t rest = inputs - first;
        for (int i = rest < LANES ? int(rest) : LANES; i < LANES; i++) x[i] = 0;
        if (rest < LANES)
            read(product.input, row, first, int(rest), x);
        else
            read(product.input, row, first, LANES, x);
        for (int i = 0; i < LANES; i++) sums[i] += x[i] * x[i];
    }
    float sum = 0;
    for (int i = 0; i < LANES; i++) sum += sums[i];
    return 1.0f / __builtin_sqrtf(sum / float(inputs) + product.linear.epsilon);
}

static inline void scale(float* x, float size, const float* norm, int count) {
    for (int i = 0; i < count; i++) x[i] = x[i] * size * norm[i];
}

// Some of a row, normalised; zeros behind its end.
static inline void read_normed(const Product& product, int64_t row, float size, int64_t first,
                               int wanted, float* x) {
    const Linear& linear = product.linear;
    const int64_t rest = linear.matrix.inputs - first;
    const int count = rest < wanted ? int(rest) : wanted;
    read(product.input, row, first, count, x);
    for (int i = count; i < wanted; i++) x[i] = 0;
    if (linear.norm) scale(x, size, linear.norm + first, count);
}

static inline void quantise_row(const Product& product, int64_t row, float size) {
    const Matrix& matrix = product.linear.matrix;
    const int64_t groups = matrix.groups();
    const int group = matrix.group;
    const Activations& to = product.activations;
    alignas(64) float x[MOST_GROUP];
    for (int64_t g = 0; g < groups; g++) {
        const int64_t at = row * groups + g;
        read_normed(product, row, size, g * group, group, x);
        quantise_group(x, group, matrix.zero(), to.values + at * group, to.scales + at,
                       to.starts + at);
    }
}

static inline void round_row(const Product& product, int64_t row, float size) {
    constexpr int SOME = 256;
    const Matrix& matrix = product.linear.matrix;
    const int64_t padded = matrix.groups() * 2;
    uint16_t* to = product.activations.bfloats + row * bfloat_stride(matrix);
    alignas(64) float x[SOME];
    for (int64_t first = 0; first < padded; first += SOME) {
        const int count = padded - first < SOME ? int(padded - first) : SOME;
        read_normed(product, row, size, first, count, x);
        for (int i = 0; i < count; i++) to[first + i] = narrow(x[i]);
    }
}

// Rows as their product wants them.
static void prepare(const Product& product, int64_t begin, int64_t end) {
    const Linear& linear = product.linear;
    for (int64_t row = begin; row < end; row++) {
        const float size = linear.norm ? inverse_size(product, row) : 1;
        linear.matrix.bits == 16 ? round_row(product, row, size) : quantise_row(product, row, size);
    }
}

}  // namespace cloister
