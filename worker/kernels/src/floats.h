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

// Adding 1.5 * 2^23 leaves a number's nearest integer, ties to even, in the lowest bits.
constexpr float ROUNDER = 12582912.0f;

static inline float widen(uint16_t bfloat) { return float_of(uint32_t(bfloat) << 16); }

// a * b + c, rounded to odd in double (Boldo and Melquiond 2008): the product is exact there, and
// what is so rounded rounds right to float.
static inline double fused_to_odd(float a, float b, float c) {
    const double product = double(a) * b, sum = product + c, back = sum - product;
    const double rest = (product - (sum - back)) + (c - back);
    int64_t bits;
    memcpy(&bits, &sum, sizeof bits);
    if ((rest > 0 || rest < 0) && !(bits & 1)) bits += (rest > 0) == (sum > 0) ? 1 : -1;
    double odd;
    memcpy(&odd, &bits, sizeof odd);
    return odd;
}

// a * b + c with one rounding, as instructions have it.
static inline float fused(float a, float b, float c) { return float(fused_to_odd(a, b, c)); }

static inline float without_denormal(float value) {
    const uint32_t bits = bits_of(value);
    return float_of(bits & 0x7f800000 ? bits : bits & 0x80000000);
}

// The same of two bf16 numbers, where denormal numbers are zeros, given or made. A product that is
// a normal number is exact. A sum is made denormal if it is so when rounded to 24 bits.
static inline float fused_without_denormals(float a, float b, float c) {
    a = without_denormal(a);
    b = without_denormal(b);
    const float product = a * b;
    const bool is_normal = (bits_of(product) & 0x7fffffff) - 0x00800000 < 0x7f000000;
    if (is_normal) return without_denormal(product + c);
    const double odd = fused_to_odd(a, b, c);
    const float scaled = float(odd * 0x1p40);  // whose 24 bits are all there
    return scaled > -0x1p-86f && scaled < 0x1p-86f ? 0.0f * scaled : float(odd);
}

// To the nearest, ties to even; NaN stays NaN.
static inline uint16_t narrow(float value) {
    const uint32_t bits = bits_of(value);
    const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return uint16_t((bits & 0x7fffffff) > 0x7f800000 ? bits >> 16 | 0x40 : rounded);
}

}  // namespace cloister
