// A row of logits of which a mask may forbid some: those count as minus infinity.
#pragma once

#include "floats.h"
#include "format.h"

namespace cloister::drawing {
namespace {

constexpr int BLOCK = 256;
constexpr int64_t BROKEN = -1, NOTHING = -2;  // in place of ids
constexpr uint32_t INFINITE = 0x7f800000, LEAST_NUMBER = 0xff800000;

// Up to 32 logits by as many bits.
inline void bar(const float* logits, uint32_t bits, int count, float* space) {
    for (int i = 0; i < count; i++) {
        const uint32_t kept = -(bits >> i & 1);
        space[i] = float_of((cloister::bits_of(logits[i]) & kept) | (LEAST_NUMBER & ~kept));
    }
}

struct Allowed {
    const float* logits;
    const uint8_t* mask;  // a bit each, lowest first; or null where all are allowed
    int64_t size;

    int count_from(int64_t first) const { return size - first < BLOCK ? int(size - first) : BLOCK; }

    bool allows(int64_t id) const { return !mask || mask[id >> 3] >> (id & 7) & 1; }

    // Is any? Bits beyond the row do not count.
    bool any() const {
        bool found = !mask;
        for (int64_t place = 0; !found && place < size >> 3; place++) found = mask[place] != 0;
        for (int64_t id = size & ~int64_t(7); !found && id < size; id++) found = allows(id);
        return found;
    }

    // Logits from `first` on, which is a block's; in `space` where some may be forbidden.
    const float* block(int64_t first, int count, float* space) const {
        if (!mask) return logits + first;
        const float* from = logits + first;
        const uint8_t* bits = mask + (first >> 3);
        int i = 0;
        for (; i + 32 <= count; i += 32, bits += 4) {
            const uint32_t high = bits[3];
            bar(from + i, bits[0] | bits[1] << 8 | bits[2] << 16 | high << 24, 32, space + i);
        }
        for (; i < count; i += 8) bar(from + i, *bits++, count - i < 8 ? count - i : 8, space + i);
        return space;
    }
};

// Signed integers compare as the numbers do, with one zero.
int32_t order_of(float value) {
    const int32_t bits = int32_t(cloister::bits_of(value + 0.0f));
    return bits ^ (bits >> 31 & 0x7fffffff);
}

// The first of the highest allowed logits. BROKEN if that or any in the row is not a number;
// NOTHING if none is allowed.
int64_t highest_of(const Allowed& row) {
    int32_t best = INT32_MIN, not_numbers = 0;
    int64_t begin = 0;
    for (int64_t first = 0; first < row.size; first += BLOCK) {
        const int count = row.count_from(first);
        float space[BLOCK];
        const float* logits = row.block(first, count, space);
        int32_t most = INT32_MIN;
        for (int i = 0; i < count; i++) {
            const float value = row.logits[first + i];
            const int32_t order = order_of(logits[i]);
            most = order > most ? order : most;
            not_numbers |= value != value;
        }
        if (most > best) {
            best = most;
            begin = first;
        }
    }
    if (not_numbers) return BROKEN;
    if (!row.any()) return NOTHING;
    if (best >= int32_t(INFINITE) || best <= order_of(float_of(LEAST_NUMBER))) return BROKEN;
    while (!row.allows(begin) || order_of(row.logits[begin]) != best) begin++;
    return begin;
}

}  // namespace
}  // namespace cloister::drawing
