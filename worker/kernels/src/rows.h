// Numbers of rows as floats, whatever their type. Plain loops that compilers turn into vectors.
#pragma once

#include "floats.h"
#include "format.h"

namespace cloister {

static inline void read(const Rows& rows, int64_t row, int64_t first, int count, float* x) {
    const int64_t at = row * rows.stride + first;
    if (rows.type == BFLOAT16) {
        const uint16_t* from = static_cast<const uint16_t*>(rows.data) + at;
        for (int i = 0; i < count; i++) x[i] = widen(from[i]);
    } else {
        memcpy(x, static_cast<const float*>(rows.data) + at, count * sizeof *x);
    }
}

static inline void write(const Rows& rows, int64_t row, int64_t first, int count, const float* x) {
    const int64_t at = row * rows.stride + first;
    if (rows.type == BFLOAT16) {
        uint16_t* to = static_cast<uint16_t*>(rows.data) + at;
        for (int i = 0; i < count; i++) to[i] = narrow(x[i]);
    } else {
        memcpy(static_cast<float*>(rows.data) + at, x, count * sizeof *x);
    }
}

}  // namespace cloister
