// bfloat16 and float32 as bits. `static`, because each variant compiles its own copy.
#pragma once

#include <cstdint>
#include <cstring>

namespace cloister {

static inline uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline float widen(uint16_t bfloat) { return float_of(uint32_t(bfloat) << 16); }

// To the nearest, ties to even; NaN stays NaN.
static inline uint16_t narrow(float value) {
    const uint32_t bits = bits_of(value);
    const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return uint16_t((bits & 0x7fffffff) > 0x7f800000 ? bits >> 16 | 0x40 : rounded);
}

}  // namespace cloister
