// Heads as they come from the linear: normalised, turned to their positions, put into pages.
#pragma once

#include "attention.h"
#include "rounding.h"
#include "rows.h"

namespace cloister {

// To unit mean square (Zhang and Sennrich 2019). Sixteen sums, so that compilers use vectors.
static inline void normalise(float* x, const float* weight, int count, float epsilon) {
    float sums[16] = {};
    int i = 0;
    for (; i + 16 <= count; i += 16)
        for (int j = 0; j < 16; j++) sums[j] += x[i + j] * x[i + j];
    for (; i < count; i++) sums[i % 16] += x[i] * x[i];
    float sum = 0;
    for (float each : sums) sum += each;
    const float inverse = 1 / __builtin_sqrtf(sum / float(count) + epsilon);
    for (int j = 0; j < count; j++) x[j] = x[j] * inverse * weight[j];
}

// (a, b) to (a cos - b sin, b cos + a sin), a and b being the halves (Su et al. 2021).
static inline void turn(float* x, const float* cosines, const float* sines, int half) {
    for (int i = 0; i < half; i++) {
        const float a = x[i], b = x[half + i];
        x[i] = a * cosines[i] - b * sines[i];
        x[half + i] = b * cosines[i] + a * sines[i];
    }
}

// A query head (`kind` 0) or key head (1) of a row, ready for its product.
static inline void read_head(const Attention& job, int64_t row, int head, int kind, float* to) {
    const Heads& heads = job.heads;
    const int dim = heads.head_dim, half = dim / 2;
    read(job.input, row, int64_t(head) * dim, dim, to);
    if (heads.norms) normalise(to, heads.norms + kind * dim, dim, heads.epsilon);
    turn(to, job.places.cosines + row * half, job.places.sines + row * half, half);
}

// A head's numbers as pages hold them, and their scale in bfloat16 if they have one.
static inline uint16_t narrow_head(const float* x, int count, float* to) {
    memcpy(to, x, count * sizeof *to);
    return 0;
}

static inline uint16_t narrow_head(const float* x, int count, uint16_t* to) {
    for (int i = 0; i < count; i++) to[i] = narrow(x[i]);
    return 0;
}

// The scale is rounded before the codes are: at most 127 * (1 + 2^-9), which is 127 again. A head
// that is not finite becomes zeros with a scale of NaN.
static inline uint16_t narrow_head(const float* x, int count, int8_t* to) {
    const float largest = largest_size(x, count);
    const bool finite = is_finite(largest), counts = finite && largest >= SMALLEST;
    const uint16_t scale = counts ? narrow(largest / LARGEST) : 0;
    const float inverse = counts ? 1 / widen(scale) : 0.0f;
    for (int i = 0; i < count; i++) to[i] = counts ? int8_t(nearest(x[i] * inverse)) : int8_t(0);
    return finite ? scale : narrow(NOT_A_NUMBER);
}

// Where the number at `index` of neighbours stands.
template <int PER>
static inline int place(int64_t index) {
    return int(PER == 4 ? (index & 1) << 1 | (index >> 1 & 1) : index % PER);
}

template <class T>
static inline void keep_row(const Attention& job, const Run& run, int64_t row) {
    constexpr int PER = 4 / sizeof(T);
    const Heads& heads = job.heads;
    const int dim = heads.head_dim, size = heads.page_size;
    const int64_t position = run.start + row - run.first_row;
    const int64_t page = job.places.pages[run.first_page + position / size];
    const int offset = int(position % size);
    float key[MOST_HEAD_DIM], value[MOST_HEAD_DIM];
    T numbers[MOST_HEAD_DIM];
    for (int head = 0; head < heads.kv_heads; head++) {
        uint32_t* base = static_cast<uint32_t*>(heads.pages) +
                         (page * heads.kv_heads + head) * heads.head_units();
        uint16_t* scales = reinterpret_cast<uint16_t*>(base + 2 * heads.half_units());
        read_head(job, row, heads.heads + head, 1, key);
        read(job.input, row, int64_t(heads.heads + heads.kv_heads + head) * dim, dim, value);

        T* to = reinterpret_cast<T*>(base);
        const uint16_t key_scale = narrow_head(key, dim, numbers);
        for (int i = 0; i < dim; i++)
            to[(i / PER * size + offset) * PER + place<PER>(i)] = numbers[i];
        to = reinterpret_cast<T*>(base + heads.half_units());
        const uint16_t value_scale = narrow_head(value, dim, numbers);
        for (int i = 0; i < dim; i++)
            to[(offset / PER * dim + i) * PER + place<PER>(offset)] = numbers[i];
        if (sizeof(T) > 1) continue;
        scales[offset] = key_scale;
        scales[size + offset] = value_scale;
    }
}

// Put the keys and values of rows [begin, end) into their pages.
static void keep(const Attention& job, int64_t begin, int64_t end) {
    const auto one = job.heads.type == INT8       ? keep_row<int8_t>
                     : job.heads.type == BFLOAT16 ? keep_row<uint16_t>
                                                  : keep_row<float>;
    for (int64_t i = 0; i < job.places.run_count; i++) {
        const Run& run = job.places.runs[i];
        const int64_t first = begin > run.first_row ? begin : run.first_row;
        const int64_t last = run.first_row + run.rows;
        for (int64_t row = first; row < (end < last ? end : last); row++) one(job, run, row);
    }
}

}  // namespace cloister
