// Rows of activations to int8, by group. Plain loops that compilers turn into vectors; the same
// operations in every variant, so that all give the same bits.
#pragma once

#include "floats.h"
#include "format.h"

namespace cloister {

constexpr uint32_t INFINITE = 0x7f800000;
constexpr float LARGEST = 127;
constexpr float SMALLEST = 1e-30f;  // what is smaller all over a group counts as zeros

// Adding 1.5 * 2^23 leaves a number's nearest integer, ties to even, in the lowest bits.
constexpr float ROUNDER = 12582912.0f;

static inline int32_t nearest(float value) {
    return int32_t(bits_of(value + ROUNDER)) - int32_t(bits_of(ROUNDER));
}

// A group that is not finite becomes zeros with a scale of NaN: it spoils its own row alone.
static inline void quantise_group(const float* x, int group, int32_t zero, int8_t* values,
                                  float* scale, int32_t* start) {
    uint32_t most = 0;  // absolute values compare as their bits do, and NaN is above all
    for (int i = 0; i < group; i++) {
        const uint32_t size = bits_of(x[i]) & 0x7fffffff;
        most = size > most ? size : most;
    }
    const float largest = float_of(most);
    const bool counts = most < INFINITE && largest >= SMALLEST;
    const float inverse = counts ? LARGEST / largest : 0.0f;
    int32_t sum = 0;
    for (int i = 0; i < group; i++) {
        const int32_t value = counts ? nearest(x[i] * inverse) : 0;
        values[i] = int8_t(value);
        sum += value;
    }
    *scale = most < INFINITE ? (counts ? largest / LARGEST : 0.0f) : float_of(INFINITE | 0x400000);
    *start = -zero * sum;
}

static inline void read_group(const Rows& rows, int64_t row, int64_t first, int count, int group,
                              float* x) {
    if (rows.type == BFLOAT16) {
        const uint16_t* from = static_cast<const uint16_t*>(rows.data) + row * rows.stride + first;
        for (int i = 0; i < count; i++) x[i] = widen(from[i]);
    } else {
        const float* from = static_cast<const float*>(rows.data) + row * rows.stride + first;
        for (int i = 0; i < count; i++) x[i] = from[i];
    }
    for (int i = count; i < group; i++) x[i] = 0;
}

static void quantise(const Product& product, int64_t begin, int64_t end) {
    const Matrix& matrix = product.matrix;
    const int64_t groups = matrix.groups();
    const int group = matrix.group;
    const Activations& to = product.activations;
    float x[256];
    for (int64_t row = begin; row < end; row++)
        for (int64_t g = 0; g < groups; g++) {
            const int64_t rest = matrix.inputs - g * group, at = row * groups + g;
            read_group(product.input, row, g * group, rest < group ? int(rest) : group, group, x);
            quantise_group(x, group, matrix.zero(), to.values + at * group, to.scales + at,
                           to.starts + at);
        }
}

}  // namespace cloister
