// Rows of bf16 times panels of bf16, written once over a vector type `V` of each instruction set.
//
// A result is one float32 sum over the inputs. It takes in a pair of them at a time, first the
// second product, then the first, each with one rounding, and denormal numbers count as zeros: what
// `vdpbf16ps` computes. So it is the same to the bit in all variants, whatever the tile, the thread,
// or the other rows.
#pragma once

#include "multiply.h"

namespace cloister {

// Not inlined: then nothing of it is moved out of the life of a V::Mode.
template <class V, int ROWS>
__attribute__((noinline)) static void pair_tile(const Product& product, const uint8_t* panel,
                                                int64_t row, float (*totals)[PANEL]) {
    constexpr int N = V::COLUMNS / V::LANES;
    const Matrix& matrix = product.linear.matrix;
    const int64_t pairs = matrix.groups(), stride = bfloat_stride(matrix);
    const uint16_t* values = product.activations.bfloats + row * stride;
    typename V::Floats total[ROWS][N];
    for (int r = 0; r < ROWS; r++)
        for (int n = 0; n < N; n++) total[r][n] = V::zeros();
    for (int64_t k = 0; k < pairs; k++, panel += PANEL * 4) {
        __builtin_prefetch(panel + AHEAD);
        __builtin_prefetch(panel + AHEAD + 64);
        typename V::Pairs weights[N];
        for (int n = 0; n < N; n++) weights[n] = V::pairs(panel + n * V::LANES * 4);
        for (int r = 0; r < ROWS; r++) {
            const typename V::Pairs own = V::pair(values + r * stride + 2 * k);
            for (int n = 0; n < N; n++) total[r][n] = V::dot(total[r][n], weights[n], own);
        }
    }
    for (int r = 0; r < ROWS; r++)
        for (int n = 0; n < N; n++) V::store(totals[r] + n * V::LANES, total[r][n]);
}

// A panel times up to ROWS rows, V::COLUMNS outputs at a time.
template <class V>
struct PairTiles {
    static constexpr int ROWS = V::ROWS;

    template <int>
    static void multiply(const Product& product, const uint8_t* panel, int64_t row, int rows,
                         float (*totals)[PANEL]) {
        const typename V::Mode mode;
        for (int first = 0; first < PANEL; first += V::COLUMNS)
            tile<ROWS>(product, panel + first * 4, row, rows,
                       reinterpret_cast<float (*)[PANEL]>(totals[0] + first));
    }

    template <int COUNT>
    static void tile(const Product& product, const uint8_t* panel, int64_t row, int rows,
                     float (*totals)[PANEL]) {
        if (rows == COUNT) return pair_tile<V, COUNT>(product, panel, row, totals);
        if constexpr (COUNT > 1) tile<COUNT - 1>(product, panel, row, rows, totals);
    }
};

}  // namespace cloister
