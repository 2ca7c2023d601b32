// Which token follows from a row of logits and a random number, for a batch of rows; draw.py says
// what is computed.
//
// Nothing is sorted. Tokens stand in order of their gaps to the highest logit, and the bits of a gap
// compare as it does: so the token at which the weights so far pass a number is found digit by digit
// (a radix selection), from sums of weights that are integers and thus exact. Plain loops that
// compilers turn into vectors; each variant compiles its own copy.
#pragma once

#include "allowed.h"

namespace cloister::drawing {
namespace {

constexpr int UNIT_BITS = 42, POINT_BITS = 53;
constexpr double LEAST = -64;
constexpr double LOG2_E = 1.4426950408889634;
constexpr double LN_2[] = {0.6931471803691238, 1.9082149292705877e-10};
constexpr double ROUNDER = 6755399441055744;  // 1.5 * 2^52: leaves integers in the lowest bits
constexpr double TERMS[] = {1. / 39916800, 1. / 3628800, 1. / 362880, 1. / 40320,
                            1. / 5040,     1. / 720,     1. / 120,    1. / 24,
                            1. / 6,        1. / 2,       1,           1};

constexpr int FIRST_BITS = 11, DIGIT_BITS = 10;  // a gap's 31 bits are three digits
constexpr uint32_t LAST_DIGIT = (1u << DIGIT_BITS) - 1;

struct Row {
    Allowed allowed;
    float highest;
    double temperature;
};

// Tokens together: their weights and how many they are, those without weight left out.
struct Tally {
    int64_t weight, count;
};

int64_t bits_of(double value) {
    int64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

double double_of(int64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// Of a number that has a nearest integer, and none too large.
int64_t nearest(double value) { return bits_of(value + ROUNDER) - bits_of(ROUNDER); }

int64_t ceiling(double value) {
    const int64_t whole = int64_t(value);
    return double(whole) < value ? whole + 1 : whole;
}

uint32_t key_of(float gap) { return cloister::bits_of(gap) & 0x7fffffff; }

int64_t weight_of(float gap, double temperature) {
    double x = -double(gap) / temperature;
    x = x < LEAST ? LEAST : x;
    const double shifted = x * LOG2_E + ROUNDER, powers = shifted - ROUNDER;
    x = x - powers * LN_2[0] - powers * LN_2[1];
    double result = TERMS[0];
    for (int i = 1; i < 12; i++) result = result * x + TERMS[i];
    const int64_t power = bits_of(shifted) - bits_of(ROUNDER);
    const double scale = double_of(int64_t(uint64_t(power + UNIT_BITS + 1023) << 52));
    return nearest(result * scale);
}

// All tokens by the first digit; answers the weight of those that weigh `least` or more.
int64_t tally_all(const Row& row, int64_t least, Tally* tallies) {
    int64_t enough = 0;
    for (int64_t first = 0; first < row.allowed.size; first += BLOCK) {
        const int count = row.allowed.count_from(first);
        float space[BLOCK];
        int64_t weights[BLOCK];
        uint32_t keys[BLOCK];
        const float* logits = row.allowed.block(first, count, space);
        for (int i = 0; i < count; i++) {
            const float gap = row.highest - logits[i];
            weights[i] = weight_of(gap, row.temperature);
            keys[i] = key_of(gap) >> 2 * DIGIT_BITS;
        }
        for (int i = 0; i < count; i++) {
            tallies[keys[i]].weight += weights[i];
            tallies[keys[i]].count += weights[i] > 0;
            enough += weights[i] >= least ? weights[i] : 0;
        }
    }
    return enough;
}

// Calls `visit(id, gap)` for the tokens, by id, whose gaps have these first digits, while it
// answers true.
template <class Visit>
void each_of(const Row& row, uint32_t digits, int shift, Visit visit) {
    for (int64_t first = 0; first < row.allowed.size; first += BLOCK) {
        const int count = row.allowed.count_from(first);
        float space[BLOCK];
        const float* logits = row.allowed.block(first, count, space);
        uint32_t any = 0;
        for (int i = 0; i < count; i++) any |= key_of(row.highest - logits[i]) >> shift == digits;
        for (int i = 0; any && i < count; i++) {
            const float gap = row.highest - logits[i];
            if (key_of(gap) >> shift == digits && !visit(first + i, gap)) return;
        }
    }
}

// Those with the given first digits, by the next digit.
void tally_some(const Row& row, uint32_t digits, int shift, Tally* tallies) {
    for (int i = 0; i < 1 << DIGIT_BITS; i++) tallies[i] = {0, 0};
    each_of(row, digits, shift, [&](int64_t, float gap) {
        Tally& tally = tallies[key_of(gap) >> (shift - DIGIT_BITS) & LAST_DIGIT];
        const int64_t weight = weight_of(gap, row.temperature);
        tally.weight += weight;
        tally.count += weight > 0;
        return true;
    });
}

// Tokens of equal gaps, and what stands before them.
struct Equals {
    uint32_t key;
    Tally before;
    int64_t weight;  // of each
};

// The digit at which the sum so far passes `target`; `before` grows by what stands before it.
template <int64_t Tally::*SUM>
uint32_t digit_of(const Tally* tallies, int64_t target, Tally& before) {
    uint32_t digit = 0;
    for (; before.*SUM + tallies[digit].*SUM <= target; digit++) {
        before.weight += tallies[digit].weight;
        before.count += tallies[digit].count;
    }
    return digit;
}

// Where weights or counts, summed in order, pass `target`, which is below their sum.
template <int64_t Tally::*SUM>
Equals find(const Row& row, const Tally* all, int64_t target) {
    Tally before = {0, 0}, some[1 << DIGIT_BITS];
    uint32_t key = digit_of<SUM>(all, target, before);
    for (int shift = 2 * DIGIT_BITS; shift > 0; shift -= DIGIT_BITS) {
        tally_some(row, key, shift, some);
        key = key << DIGIT_BITS | digit_of<SUM>(some, target, before);
    }
    const Tally& found = some[key & LAST_DIGIT];
    return {key, before, found.weight / found.count};
}

// The weight up to the `count`-th token.
int64_t weight_of_first(const Row& row, const Tally* all, int64_t count) {
    const Equals last = find<&Tally::count>(row, all, count - 1);
    return last.before.weight + (count - last.before.count) * last.weight;
}

// The weight up to the token at which it reaches `weight`.
int64_t weight_reaching(const Row& row, const Tally* all, int64_t weight) {
    const Equals last = find<&Tally::weight>(row, all, weight - 1);
    const int64_t whole = (weight - 1 - last.before.weight) / last.weight + 1;
    return last.before.weight + whole * last.weight;
}

int64_t id_at(const Row& row, const Tally* all, int64_t target) {
    const Equals found = find<&Tally::weight>(row, all, target);
    int64_t left = (target - found.before.weight) / found.weight, id = -1;
    each_of(row, found.key, 0, [&](int64_t at, float) {
        id = at;
        return left-- > 0;
    });
    return id;
}

int64_t draw_one(const Row& row, const Rule& rule) {
    Tally all[1 << FIRST_BITS] = {};
    const int64_t least = ceiling(rule.min_p * double(int64_t(1) << UNIT_BITS));
    const int64_t enough = tally_all(row, least > 1 ? least : 1, all);
    Tally sum = {0, 0};
    for (const Tally& tally : all) sum = {sum.weight + tally.weight, sum.count + tally.count};
    int64_t kept = sum.weight;
    if (rule.top_k > 0 && rule.top_k < double(sum.count))
        kept = weight_of_first(row, all, int64_t(rule.top_k));
    if (rule.top_p < 1) {
        const int64_t asked = ceiling(rule.top_p * double(kept));
        if (asked < kept) kept = weight_reaching(row, all, asked > 1 ? asked : 1);
    }
    kept = kept < enough ? kept : enough;
    const uint64_t point = uint64_t(rule.point * double(int64_t(1) << POINT_BITS));
    return id_at(row, all, int64_t((unsigned __int128)point * uint64_t(kept) >> POINT_BITS));
}

void draw(const Draw& draw, int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
        const uint8_t* mask = draw.masks ? draw.masks[row] : nullptr;
        const Allowed allowed = {draw.logits + row * draw.stride, mask, draw.size};
        const Rule& rule = draw.rules[row];
        const int64_t highest = highest_of(allowed);
        draw.ids[row] = highest;
        if (highest >= 0 && rule.temperature > 0)
            draw.ids[row] = draw_one({allowed, allowed.logits[highest], rule.temperature}, rule);
    }
}

}  // namespace
}  // namespace cloister::drawing
