// silu(gate) * up. Plain loops, the same operations in every variant, so that all give the same bits.
#pragma once

#include "floats.h"
#include "format.h"

namespace cloister {

constexpr float LOG2_E = 1.44269504f;
constexpr float LN2_HIGH = 0.693359375f, LN2_LOW = -2.12194440e-4f;  // their sum is ln 2
constexpr float LEAST_POWER = -87;  // e to less counts as 0: it is hardly a normal number

// e^x for x <= 0, within two units in the last place: 2^n e^r, r in [-ln 2 / 2, ln 2 / 2], and
// Taylor's series of e^r.
static inline float exponential(float x) {
    const float clamped = x < LEAST_POWER ? LEAST_POWER : x;
    const float shifted = clamped * LOG2_E + ROUNDER;
    const float n = shifted - ROUNDER;
    const float r = (clamped - n * LN2_HIGH) - n * LN2_LOW;
    float sum = 1.0f / 5040;
    sum = sum * r + 1.0f / 720;
    sum = sum * r + 1.0f / 120;
    sum = sum * r + 1.0f / 24;
    sum = sum * r + 1.0f / 6;
    sum = sum * r + 0.5f;
    sum = sum * r + 1.0f;
    sum = sum * r + 1.0f;
    const float power = sum * float_of((bits_of(shifted) - bits_of(ROUNDER) + 127) << 23);
    return x < LEAST_POWER ? 0.0f : power;
}

static inline float silu(float x) {
    const float power = exponential(x < 0 ? x : -x);  // never too large
    return x * (x < 0 ? power : 1.0f) / (1.0f + power);
}

// `gate` times the logistic of itself times `up`, for a panel.
static inline void silu_multiply(float* gate, const float* up) {
    for (int i = 0; i < PANEL; i++) gate[i] = silu(gate[i]) * up[i];
}

}  // namespace cloister
