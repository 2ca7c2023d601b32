// Attention with sums in passing (Milakov and Gimelshein 2018; Dao et al. 2022), written once over
// a vector type `V` of each instruction set. Pages are read where they are.
//
// A block of queries, which share a key head, passes over its sequence KEYS keys at a time. These
// blocks of keys begin at multiples of KEYS, and within them all sums have one order; what a row
// does not see changes nothing, to the bit. So its result depends neither on the other rows, nor on
// how its text was cut into steps.
#pragma once

#include "keep.h"

namespace cloister {

constexpr int KEYS = 64;
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

// Products of numbers as floats. `PARTS` numbers of each unit are multiplied one after the other.
template <class V, class T>
struct Exact;

template <class V>
struct Exact<V, float> {
    static constexpr int PARTS = 1;
    using Right = typename V::Floats;
    static Right right(const uint32_t* units, int) {
        return V::load(reinterpret_cast<const float*>(units));
    }
    static typename V::Floats dot(typename V::Floats sum, Right right, const float* left) {
        return V::fma(V::floats(*left), right, sum);
    }
    static void pack(float*, int) {}
};

template <class V>
struct Exact<V, uint16_t> : Exact<V, float> {
    static constexpr int PARTS = 2;
    static typename V::Floats right(const uint32_t* units, int part) {
        return part ? V::high(units) : V::low(units);
    }
};

// Units of a block of keys: `first[column] + unit * stride`.
struct Keys {
    const uint32_t* first[KEYS / 4];
    int64_t stride;
    const uint32_t* at(int unit, int column, int) const { return first[column] + unit * stride; }
};

// Units of a block of values: `rows[unit]`, in columns of so many lanes.
struct Values {
    const uint32_t* rows[KEYS];
    const uint32_t* at(int unit, int column, int lanes) const {
        return rows[unit] + column * lanes;
    }
};

// `to` = left [ROWS, units * parts] times right [units, COLUMNS * lanes], added to `to * factors`
// if there are factors.
template <class V, class N, int ROWS, int COLUMNS, class Right>
static inline void tile(const Right& right, int column, int units, const float* left, int left_stride,
                        float* to, int stride, const float* factors) {
    typename V::Floats sum[ROWS][COLUMNS];
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLUMNS; c++)
            sum[r][c] = factors ? V::mul(V::load(to + r * stride + (column + c) * V::LANES),
                                         V::floats(factors[r]))
                                : V::floats(0);
    for (int u = 0; u < units; u++)
        for (int part = 0; part < N::PARTS; part++) {
            typename N::Right own[COLUMNS];
            for (int c = 0; c < COLUMNS; c++)
                own[c] = N::right(right.at(u, column + c, V::LANES), part);
            for (int r = 0; r < ROWS; r++)
                for (int c = 0; c < COLUMNS; c++)
                    sum[r][c] =
                        N::dot(sum[r][c], own[c], left + r * left_stride + u * N::PARTS + part);
        }
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLUMNS; c++)
            V::store(to + r * stride + (column + c) * V::LANES, sum[r][c]);
}

template <class V, class N, int ROWS, class Right>
static void rows_times(const Right& right, int columns, int units, const float* left,
                       int left_stride, float* to, int stride, const float* factors) {
    int column = 0;
    for (; column + V::COLUMNS <= columns; column += V::COLUMNS)
        tile<V, N, ROWS, V::COLUMNS>(right, column, units, left, left_stride, to, stride, factors);
    for (; column < columns; column++)
        tile<V, N, ROWS, 1>(right, column, units, left, left_stride, to, stride, factors);
}

template <class V, class N, class Right>
static void multiply_block(const Right& right, int columns, int units, int rows, const float* left,
                           int left_stride, float* to, int stride, const float* factors) {
    using Rows = void (*)(const Right&, int, int, const float*, int, float*, int, const float*);
    static constexpr Rows ROWS[6] = {
        rows_times<V, N, 1, Right>, rows_times<V, N, 2, Right>, rows_times<V, N, 3, Right>,
        rows_times<V, N, V::ROWS < 4 ? 1 : 4, Right>, rows_times<V, N, V::ROWS < 5 ? 1 : 5, Right>,
        rows_times<V, N, V::ROWS < 6 ? 1 : 6, Right>,
    };
    for (int row = 0; row < rows; row += V::ROWS) {
        const int count = rows - row < V::ROWS ? rows - row : V::ROWS;
        ROWS[count - 1](right, columns, units, left + row * left_stride, left_stride,
                        to + row * stride, stride, factors ? factors + row : nullptr);
    }
}

// A block of queries and what is known of their answers so far.
template <class V>
struct Queries {
    alignas(64) float heads[BLOCK_NUMBERS];            // [count, head_dim], packed
    alignas(64) float scores[MOST_QUERIES * KEYS];     // then weights, packed
    alignas(64) float totals[BLOCK_NUMBERS + MOST_QUERIES * 16];  // [count, columns * lanes]
    alignas(64) float sums[MOST_QUERIES * V::LANES];   // of weights, by lane
    float most[MOST_QUERIES];                          // scores, times log2(e)
    float factors[MOST_QUERIES];
    int64_t first;                                     // of its run, rows times group
    int count;
};

// Keys and values of one key head of a sequence, as units of 4 bytes. Where pages do not hold whole
// vectors, a block is copied first; its numbers are the same then.
template <class V>
class Pages {
  public:
    Pages(const Attention& job, const Run& run, int head)
        : pages_(job.places.pages + run.first_page),
          size_(job.heads.page_size),
          dim_(job.heads.head_dim),
          per_(job.heads.type == BFLOAT16 ? 2 : 1),
          half_(int64_t(size_) * dim_ / per_),
          stride_(int64_t(job.heads.kv_heads) * 2 * half_),
          base_(static_cast<const uint32_t*>(job.heads.pages) + head * 2 * half_) {}

    int columns() const { return (dim_ + V::LANES - 1) / V::LANES; }

    void find_keys(int64_t begin, int count, uint32_t* copies, Keys* keys) const {
        const bool direct = size_ % V::LANES == 0;
        keys->stride = direct ? size_ : KEYS;
        for (int i = 0; i < count; i += V::LANES)
            keys->first[i / V::LANES] = direct ? at(begin + i) + (begin + i) % size_ : copies + i;
        if (direct) return;
        for (int i = 0; i < count; i++)
            for (int unit = 0; unit < dim_ / per_; unit++)
                copies[unit * KEYS + i] = at(begin + i)[unit * size_ + (begin + i) % size_];
    }

    // A half unit at the end becomes a whole one: what stands behind it may be anything.
    void find_values(int64_t begin, int count, uint32_t* copies, Values* values) const {
        const bool direct = dim_ % V::LANES == 0;
        const int width = columns() * V::LANES;
        for (int i = 0, unit = 0; i < count; i += per_, unit++) {
            const uint32_t* row = at(begin + i) + half_ + (begin + i) % size_ / per_ * dim_;
            const bool whole = i + per_ <= count;
            if (direct && whole) {
                values->rows[unit] = row;
                continue;
            }
            const uint32_t mask = whole ? ~uint32_t(0) : 0xffff;
            uint32_t* copy = copies + unit * width;
            for (int d = 0; d < width; d++) copy[d] = d < dim_ ? row[d] & mask : 0;
            values->rows[unit] = copy;
        }
    }

  private:
    const uint32_t* at(int64_t position) const { return base_ + pages_[position / size_] * stride_; }

    const int64_t* pages_;
    int size_, dim_, per_;
    int64_t half_, stride_;  // units
    const uint32_t* base_;
};

// Turn a row of scores into weights, as yet over their sum, and tell how much less those before
// count now.
template <class V>
static inline float weigh(float* scores, int columns, float scale, float* most, float* sums) {
    typename V::Floats top = V::load(scores);
    for (int c = 1; c < columns; c++) top = V::max(top, V::load(scores + c * V::LANES));
    const float largest = V::largest(top) * scale, before = *most;
    *most = largest > before ? largest : before;
    const float factor =
        *most == before ? 1 : V::first(power_of_2<V>(V::floats(before - *most)));
    typename V::Floats sum = V::mul(V::load(sums), V::floats(factor));
    const typename V::Floats by = V::floats(scale), less = V::floats(*most);
    for (int c = 0; c < columns; c++) {
        // Not fused: large scores, rounded as the largest was, must not come out above it.
        const typename V::Floats weight =
            power_of_2<V>(V::sub(V::mul(V::load(scores + c * V::LANES), by), less));
        V::store(scores + c * V::LANES, weight);
        sum = V::add(sum, weight);
    }
    V::store(sums, sum);
    return factor;
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

template <class V, class T>
static inline void take_queries(const Attention& job, const Run& run, int head, int64_t first,
                                Queries<V>* queries) {
    using N = typename V::template Numbers<T>;
    const Heads& heads = job.heads;
    const int group = heads.group(), width = (heads.head_dim + V::LANES - 1) / V::LANES * V::LANES;
    const int64_t rest = run.rows * group - first;
    queries->first = first;
    queries->count = rest < block_queries(heads) ? int(rest) : block_queries(heads);
    for (int i = 0; i < queries->count; i++) {
        const int64_t row = run.first_row + (first + i) / group;
        float* to = queries->heads + i * heads.head_dim;
        read_head<T>(job, row, head * group + int((first + i) % group), 0, to);
        N::pack(to, heads.head_dim);
        queries->most[i] = LEAST;
    }
    memset(queries->totals, 0, size_t(queries->count) * width * sizeof(float));
    memset(queries->sums, 0, size_t(queries->count) * V::LANES * sizeof(float));
}

template <class V, class T>
static inline void see_keys(const Attention& job, const Run& run, const Pages<V>& pages,
                            int64_t begin, int count, uint32_t* copies, Queries<V>* queries) {
    using N = typename V::template Numbers<T>;
    constexpr int PER = 4 / sizeof(T);
    const Heads& heads = job.heads;
    const int columns = (count + V::LANES - 1) / V::LANES, dim = heads.head_dim;
    const float scale = PER_E / __builtin_sqrtf(float(dim));
    Keys keys;
    pages.find_keys(begin, count, copies, &keys);
    multiply_block<V, N>(keys, columns, dim / PER, queries->count, queries->heads, dim,
                         queries->scores, KEYS, nullptr);
    for (int i = 0; i < queries->count; i++) {
        float* scores = queries->scores + i * KEYS;
        const int64_t position = run.start + (queries->first + i) / heads.group();
        hide(scores, columns * V::LANES, begin, position, heads.window);
        queries->factors[i] = weigh<V>(scores, columns, scale, queries->most + i,
                                       queries->sums + i * V::LANES);
        N::pack(scores, columns * V::LANES);
    }
    Values values;
    pages.find_values(begin, count, copies, &values);
    multiply_block<V, N>(values, pages.columns(), (count + PER - 1) / PER, queries->count,
                         queries->scores, KEYS, queries->totals, pages.columns() * V::LANES,
                         queries->factors);
}

template <class V, class T>
static inline void answer(const Attention& job, const Run& run, int head,
                          const Queries<V>& queries) {
    const Heads& heads = job.heads;
    const int dim = heads.head_dim, group = heads.group();
    const int width = (dim + V::LANES - 1) / V::LANES * V::LANES;
    for (int i = 0; i < queries.count; i++) {
        float sum = 0;
        for (int lane = 0; lane < V::LANES; lane++) sum += queries.sums[i * V::LANES + lane];
        const float inverse = 1 / sum;
        const int64_t row = run.first_row + (queries.first + i) / group;
        const int own = head * group + int((queries.first + i) % group);
        T* to = static_cast<T*>(job.output) + (row * heads.heads + own) * dim;
        for (int d = 0; d < dim; d++) put(to + d, queries.totals[i * width + d] * inverse);
    }
}

template <class V, class T>
static void attend_block(const Attention& job, const Run& run, int head, int64_t first) {
    const Heads& heads = job.heads;
    Queries<V> queries;
    alignas(64) uint32_t copies[KEYS * MOST_HEAD_DIM];
    take_queries<V, T>(job, run, head, first, &queries);
    const int64_t lowest = run.start + first / heads.group();
    const int64_t end = run.start + (first + queries.count - 1) / heads.group() + 1;
    const int64_t hidden = heads.window && lowest >= heads.window ? lowest - heads.window + 1 : 0;
    const Pages<V> pages(job, run, head);
    for (int64_t begin = hidden / KEYS * KEYS; begin < end; begin += KEYS) {
        const int count = end - begin < KEYS ? int(end - begin) : KEYS;
        see_keys<V, T>(job, run, pages, begin, count, copies, &queries);
    }
    answer<V, T>(job, run, head, queries);
}

// Compute units [begin, end): blocks of each run in turn, times key heads.
template <class V>
static void attend(const Attention& job, int64_t begin, int64_t end) {
    const Heads& heads = job.heads;
    const int queries = block_queries(heads);
    int64_t before = 0;
    for (int64_t i = 0; i < job.places.run_count && before < end; i++) {
        const Run& run = job.places.runs[i];
        const int64_t units = block_count(heads, run) * heads.kv_heads;
        for (int64_t unit = begin > before ? begin : before; unit < end && unit < before + units; unit++) {
            const int64_t first = (unit - before) / heads.kv_heads * queries;
            const int head = int((unit - before) % heads.kv_heads);
            heads.type == BFLOAT16 ? attend_block<V, uint16_t>(job, run, head, first)
                                   : attend_block<V, float>(job, run, head, first);
        }
        before += units;
    }
}

}  // namespace cloister
