// Attention with sums in passing (Milakov and Gimelshein 2018; Dao et al. 2022), written once over
// a vector type `V` of each instruction set. Pages are read where they are.
//
// A block of queries, which share a key head, passes over its sequence KEYS keys at a time. These
// blocks of keys begin at multiples of KEYS, and within them all sums have one order; what a row
// does not see changes nothing, to the bit. So its result depends neither on the other rows, nor on
// how its text was cut into steps.
#pragma once

#include "keep.h"
#include "pages.h"

namespace cloister {

constexpr float LEAST = -3.4e38f;  // below all scores; finite, so that differences are numbers
constexpr float PER_E = 1.44269504f;  // log2(e): powers of 2 are the cheaper ones

// 2^x between -0.5 and 0.5, but for the highest power of x.
constexpr float POWERS[] = {1.3398875e-3f, 9.6184374e-3f, 5.5503325e-2f,
                            2.4022648e-1f, 6.9314720e-1f, 1.0f};

// Powers of 2 for numbers of at most about 0: relative error 1e-7, and exactly 0 from -127 down.
// NaN stays NaN: `max` gives its second operand then.
template <class V>
static inline typename V::Floats power_of_2(typename V::Floats x) {
    const typename V::Floats rounder = V::floats(ROUNDER);
    x = V::max(V::floats(-127.0f), x);
    const typename V::Floats shifted = V::add(x, rounder);
    const typename V::Floats rest = V::sub(x, V::sub(shifted, rounder));
    typename V::Floats sum = V::floats(1.5353359e-4f);
    for (float next : POWERS) sum = V::fma(sum, rest, V::floats(next));
    return V::mul(sum, V::power(shifted));
}

// A block of queries and what is known of their answers so far.
template <class V>
struct Queries {
    alignas(64) float heads[BLOCK_NUMBERS];            // [count, head_dim], packed
    alignas(64) float scores[MOST_QUERIES * KEYS];     // then weights, packed
    alignas(64) float totals[BLOCK_NUMBERS + MOST_QUERIES * 16];  // [count, columns * lanes]
    alignas(64) float sums[MOST_QUERIES * V::LANES];   // of weights, by lane
    float steps[MOST_QUERIES];                         // of packed heads,
    float weight_steps[MOST_QUERIES];                  // and of packed weights
    float most[MOST_QUERIES];                          // scores, times log2(e)
    float factors[MOST_QUERIES];
    int64_t first;                                     // of its run, rows times group
    int count;
};

// What a block of keys lends to all queries. `poison` is 0, or NaN if a value's scale is.
struct Block {
    alignas(64) uint32_t copies[KEYS * MOST_HEAD_DIM];
    alignas(64) float key_scales[KEYS];
    alignas(64) float value_scales[KEYS];
    float poison;
};

// Turn a row of scores, times `scale`, into weights, as yet over their sum: packed, to count
// `weight_steps`. `factors` tells how much less those before count now.
template <class V, class N>
static inline void weigh(int row, int columns, float scale, const Block& block,
                         Queries<V>* queries) {
    float* scores = queries->scores + row * KEYS;
    float* sums = queries->sums + row * V::LANES;
    typename V::Floats top = V::load(scores);
    for (int c = 1; c < columns; c++) top = V::max(top, V::load(scores + c * V::LANES));
    const float largest = V::largest(top) * scale, before = queries->most[row];
    const float most = largest > before ? largest : before;
    const float factor = most == before ? 1 : V::first(power_of_2<V>(V::floats(before - most)));
    typename V::Floats sum = V::mul(V::load(sums), V::floats(factor)), heaviest = V::floats(0);
    const typename V::Floats by = V::floats(scale), less = V::floats(most);
    for (int c = 0; c < columns; c++) {
        // Not fused: large scores, rounded as the largest was, must not come out above it.
        const typename V::Floats weight =
            power_of_2<V>(V::sub(V::mul(V::load(scores + c * V::LANES), by), less));
        const typename V::Floats own = N::weighed(weight, block.value_scales + c * V::LANES);
        V::store(scores + c * V::LANES, own);
        sum = V::add(sum, weight);
        heaviest = V::max(own, heaviest);
    }
    V::store(sums, sum);
    queries->most[row] = most;
    queries->factors[row] = factor;
    queries->weight_steps[row] = N::pack_weights(scores, columns, heaviest) + block.poison;
}

// Scores of keys [begin, begin + count) that a row at `position` does not see become -infinity.
static inline void hide(float* scores, int count, int64_t begin, int64_t position, int64_t window) {
    const int64_t lowest = window && position >= window ? position - window + 1 : 0;
    if (begin >= lowest && begin + count <= position + 1) return;
    const int first = lowest > begin ? int(lowest - begin) : 0;
    const int last = int(position - begin);
    for (int i = 0; i < count; i++)
        if (i < first || i > last) scores[i] = float_of(0xff800000);
}

template <class V, class N>
static inline void take_queries(const Attention& job, const Run& run, int head, int64_t first,
                                Queries<V>* queries) {
    const Heads& heads = job.heads;
    const int group = heads.group(), width = (heads.head_dim + V::LANES - 1) / V::LANES * V::LANES;
    const int64_t rest = run.rows * group - first;
    queries->first = first;
    queries->count = rest < block_queries(heads) ? int(rest) : block_queries(heads);
    for (int i = 0; i < queries->count; i++) {
        const int64_t row = run.first_row + (first + i) / group;
        float* to = queries->heads + i * heads.head_dim;
        read_head(job, row, head * group + int((first + i) % group), 0, to);
        queries->steps[i] = N::pack(to, heads.head_dim);
        queries->most[i] = LEAST;
    }
    memset(queries->totals, 0, size_t(queries->count) * width * sizeof(float));
    memset(queries->sums, 0, size_t(queries->count) * V::LANES * sizeof(float));
}

// `more`: another block of KEYS keys comes behind this one.
template <class V, class N>
static inline void see_keys(const Attention& job, const Run& run, const Pages<V>& pages,
                            int64_t begin, int count, bool more, Block* block,
                            Queries<V>* queries) {
    const Heads& heads = job.heads;
    const int columns = (count + V::LANES - 1) / V::LANES, dim = heads.head_dim, per = heads.per();
    const float scale = PER_E / __builtin_sqrtf(float(dim));
    if (heads.type == INT8) {
        pages.find_scales(begin, count, 0, block->key_scales);
        pages.find_scales(begin, count, 1, block->value_scales);
        block->poison = is_finite(largest_size(block->value_scales, KEYS)) ? 0 : NOT_A_NUMBER;
    }
    Keys keys, next_keys;
    pages.find_keys(begin, count, block->copies, &keys);
    if (more && pages.has_whole_keys()) {
        pages.find_keys(begin + KEYS, KEYS, nullptr, &next_keys);
        keys.next = &next_keys;
    }
    multiply_block<V, N>(keys, columns, dim / per, queries->count, queries->heads, dim,
                         Scores<V, N>{queries->scores, block->key_scales});
    for (int i = 0; i < queries->count; i++) {
        float* scores = queries->scores + i * KEYS;
        const int64_t position = run.start + (queries->first + i) / heads.group();
        hide(scores, columns * V::LANES, begin, position, heads.window);
        weigh<V, N>(i, columns, scale * queries->steps[i], *block, queries);
    }
    Values values, next_values;
    pages.find_values(begin, count, block->copies, &values);
    if (more && pages.has_whole_values()) {
        pages.find_values(begin + KEYS, KEYS, nullptr, &next_values);
        values.next = &next_values;
    }
    multiply_block<V, N>(values, pages.columns(), (count + per - 1) / per, queries->count,
                         queries->scores, KEYS,
                         Totals<V, N>{queries->totals, pages.columns() * V::LANES,
                                      queries->factors, queries->weight_steps});
}

template <class V>
static inline void answer(const Attention& job, const Run& run, int head, Queries<V>* queries) {
    const Heads& heads = job.heads;
    const int dim = heads.head_dim, group = heads.group();
    const int width = (dim + V::LANES - 1) / V::LANES * V::LANES;
    for (int i = 0; i < queries->count; i++) {
        float sum = 0;
        for (int lane = 0; lane < V::LANES; lane++) sum += queries->sums[i * V::LANES + lane];
        const float inverse = 1 / sum;
        const int64_t row = run.first_row + (queries->first + i) / group;
        const int own = head * group + int((queries->first + i) % group);
        float* totals = queries->totals + i * width;
        for (int d = 0; d < dim; d++) totals[d] *= inverse;
        write(job.output, row, int64_t(own) * dim, dim, totals);
    }
}

template <class V, class T>
static void attend_block(const Attention& job, const Run& run, int head, int64_t first) {
    using N = Numbers<V, T>;
    const Heads& heads = job.heads;
    Queries<V> queries;
    Block block;
    block.poison = 0;
    take_queries<V, N>(job, run, head, first, &queries);
    const int64_t lowest = run.start + first / heads.group();
    const int64_t end = run.start + (first + queries.count - 1) / heads.group() + 1;
    const int64_t hidden = heads.window && lowest >= heads.window ? lowest - heads.window + 1 : 0;
    const Pages<V> pages(job, run, head);
    for (int64_t begin = hidden / KEYS * KEYS; begin < end; begin += KEYS) {
        const int count = end - begin < KEYS ? int(end - begin) : KEYS;
        const bool more = end - begin >= 2 * KEYS;
        see_keys<V, N>(job, run, pages, begin, count, more, &block, &queries);
    }
    answer(job, run, head, &queries);
}

// Compute units [begin, end): blocks of each run in turn, times key heads.
template <class V>
static void attend(const Attention& job, int64_t begin, int64_t end) {
    const Heads& heads = job.heads;
    const int queries = block_queries(heads);
    const auto one = heads.type == INT8       ? attend_block<V, int8_t>
                     : heads.type == BFLOAT16 ? attend_block<V, uint16_t>
                                              : attend_block<V, float>;
    int64_t before = 0;
    for (int64_t i = 0; i < job.places.run_count && before < end; i++) {
        const Run& run = job.places.runs[i];
        const int64_t units = block_count(heads, run) * heads.kv_heads;
        for (int64_t unit = begin > before ? begin : before; unit < end && unit < before + units; unit++) {
            const int64_t first = (unit - before) / heads.kv_heads * queries;
            const int head = int((unit - before) % heads.kv_heads);
            one(job, run, head, first);
        }
        before += units;
    }
}

}  // namespace cloister
