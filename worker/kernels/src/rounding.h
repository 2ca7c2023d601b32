// Numbers to integers with a common scale. Plain loops that compilers turn into vectors; the same
// operations in every variant, so that all give the same bits.
#pragma once

#include "floats.h"

namespace cloister {

constexpr uint32_t INFINITE = 0x7f800000;
constexpr float LARGEST = 127;
constexpr float SMALLEST = 1e-30f;  // what is smaller all over a group counts as zeros

static inline int32_t nearest(float value) {
    return int32_t(bits_of(value + ROUNDER)) - int32_t(bits_of(ROUNDER));
}

// Absolute values compare as their bits do, and NaN is above all.
static inline float largest_size(const float* x, int count) {
    uint32_t most = 0;
    for (int i = 0; i < count; i++) {
        const uint32_t size = bits_of(x[i]) & 0x7fffffff;
        most = size > most ? size : most;
    }
    return float_of(most);
}

static inline bool is_finite(float size) { return bits_of(size) < INFINITE; }
constexpr float NOT_A_NUMBER = __builtin_nanf("");

}  // namespace cloister
