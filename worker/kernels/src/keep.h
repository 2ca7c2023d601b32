// Heads as they come from the linear: normalised, turned to their positions, put into pages.
#pragma once

#include "attention.h"

namespace cloister {

static inline float widen(float value) { return value; }
static inline void put(uint16_t* to, float value) { *to = narrow(value); }
static inline void put(float* to, float value) { *to = value; }

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
template <class T>
static inline void read_head(const Attention& job, int64_t row, int head, int kind, float* to) {
    const Heads& heads = job.heads;
    const int dim = heads.head_dim, half = dim / 2;
    const T* from = static_cast<const T*>(job.input) + row * heads.width() + int64_t(head) * dim;
    for (int i = 0; i < dim; i++) to[i] = widen(from[i]);
    if (heads.norms) normalise(to, heads.norms + kind * dim, dim, heads.epsilon);
    turn(to, job.places.cosines + row * half, job.places.sines + row * half, half);
}

template <class T>
static inline void keep_row(const Attention& job, const Run& run, int64_t row) {
    constexpr int PER = 4 / sizeof(T);
    const Heads& heads = job.heads;
    const int dim = heads.head_dim, size = heads.page_size;
    const int64_t position = run.start + row - run.first_row;
    const int64_t page = job.places.pages[run.first_page + position / size];
    const int offset = int(position % size);
    const T* values = static_cast<const T*>(job.input) + row * heads.width() +
                      int64_t(heads.heads + heads.kv_heads) * dim;
    float key[MOST_HEAD_DIM];
    for (int head = 0; head < heads.kv_heads; head++) {
        T* to = static_cast<T*>(heads.pages) + (page * heads.kv_heads + head) * 2 * size * dim;
        read_head<T>(job, row, heads.heads + head, 1, key);
        for (int i = 0; i < dim; i++) put(to + (i / PER * size + offset) * PER + i % PER, key[i]);
        to += int64_t(size) * dim + offset / PER * dim * PER + offset % PER;
        for (int i = 0; i < dim; i++) to[i * PER] = values[head * dim + i];
    }
}

// Put the keys and values of rows [begin, end) into their pages.
static void keep(const Attention& job, int64_t begin, int64_t end) {
    for (int64_t i = 0; i < job.places.run_count; i++) {
        const Run& run = job.places.runs[i];
        const int64_t first = begin > run.first_row ? begin : run.first_row;
        const int64_t last = run.first_row + run.rows;
        for (int64_t row = first; row < (end < last ? end : last); row++)
            job.heads.type == BFLOAT16 ? keep_row<uint16_t>(job, run, row)
                                       : keep_row<float>(job, run, row);
    }
}

}  // namespace cloister
