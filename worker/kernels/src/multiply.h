// Quantised rows times packed panels, written once over a vector type `V` of each instruction set.
//
// A tile is up to MOST_ROWS rows times V::COLUMNS outputs. Within a group sums are integers and
// exact; then sum * weight scale * row scale is added to float totals, groups in order, with no
// fused operation. So a result is the same to the bit in all variants, whatever the tile, the
// thread, or the other rows.
#pragma once

#include "floats.h"
#include "format.h"

namespace cloister {

// Bytes: far enough for memory, and through the 4 KiB borders at which processors stop guessing.
constexpr int AHEAD = 4096;

template <class V, int BITS, int ROWS>
static inline void tile(const Product& product, const uint8_t* panel, int first, int64_t row,
                        float totals[MOST_ROWS][PANEL]) {
    constexpr int N = V::COLUMNS / V::LANES;
    const Matrix& matrix = product.matrix;
    const Activations& from = product.activations;
    const int64_t groups = matrix.groups();
    const int group = matrix.group;
    typename V::Floats total[ROWS][N];
    for (int r = 0; r < ROWS; r++)
        for (int n = 0; n < N; n++) total[r][n] = V::floats(0);
    for (int64_t g = 0; g < groups; g++) {
        const uint8_t* scales = panel + g * matrix.block_bytes() + first * 2;
        const uint8_t* codes = panel + g * matrix.block_bytes() + SCALES_BYTES + first * 4;
        const int8_t* values = from.values + (row * groups + g) * group;
        typename V::Ints sum[ROWS][N];
        for (int r = 0; r < ROWS; r++)
            for (int n = 0; n < N; n++)
                sum[r][n] = V::template start<BITS>(from.starts[(row + r) * groups + g]);
        for (int k = 0; k < group; k += STEP, codes += STEP * PANEL * BITS / 8) {
            __builtin_prefetch(codes + AHEAD);
            __builtin_prefetch(codes + AHEAD + 64);
            typename V::Codes low[N], high[N];
            for (int n = 0; n < N; n++)
                V::template load<BITS>(codes + n * V::LANES * 4, low[n], high[n]);
            for (int r = 0; r < ROWS; r++) {
                const int8_t* at = values + r * groups * group + k;
                const typename V::Four front = V::four(at), back = V::four(at + 4);
                for (int n = 0; n < N; n++) {
                    sum[r][n] = V::template dot<BITS>(sum[r][n], low[n], front);
                    sum[r][n] = V::template dot<BITS>(sum[r][n], high[n], back);
                }
            }
        }
        for (int n = 0; n < N; n++) {
            const typename V::Floats scale = V::scales(scales + n * V::LANES * 2);
            for (int r = 0; r < ROWS; r++) {
                const typename V::Floats own = V::floats(from.scales[(row + r) * groups + g]);
                total[r][n] = V::add(total[r][n], V::mul(V::mul(V::real(sum[r][n]), scale), own));
            }
        }
    }
    for (int r = 0; r < ROWS; r++)
        for (int n = 0; n < N; n++) V::store(totals[r] + first + n * V::LANES, total[r][n]);
}

template <class V, int BITS, int ROWS>
static void panel_rows(const Product& product, const uint8_t* panel, int64_t row,
                       float totals[MOST_ROWS][PANEL]) {
    if constexpr (ROWS > V::ROWS) {  // fewer registers: two smaller tiles
        panel_rows<V, BITS, V::ROWS>(product, panel, row, totals);
        panel_rows<V, BITS, ROWS - V::ROWS>(product, panel, row + V::ROWS, totals + V::ROWS);
    } else {
        for (int first = 0; first < PANEL; first += V::COLUMNS)
            tile<V, BITS, ROWS>(product, panel, first, row, totals);
    }
}

static inline void write_row(const Product& product, int64_t row, int64_t first, int count,
                             const float* totals) {
    const int64_t at = row * product.output.stride + first;
    if (product.output.type == BFLOAT16) {
        const uint16_t* bias = static_cast<const uint16_t*>(product.bias);
        uint16_t* to = static_cast<uint16_t*>(product.output.data) + at;
        for (int i = 0; i < count; i++)
            to[i] = narrow(bias ? totals[i] + widen(bias[first + i]) : totals[i]);
    } else {
        const float* bias = static_cast<const float*>(product.bias);
        float* to = static_cast<float*>(product.output.data) + at;
        for (int i = 0; i < count; i++) to[i] = bias ? totals[i] + bias[first + i] : totals[i];
    }
}

template <class V, int BITS>
static void multiply_panel(const Product& product, int64_t index) {
    using Tile = void (*)(const Product&, const uint8_t*, int64_t, float[MOST_ROWS][PANEL]);
    static constexpr Tile TILES[MOST_ROWS] = {
        panel_rows<V, BITS, 1>, panel_rows<V, BITS, 2>, panel_rows<V, BITS, 3>,
        panel_rows<V, BITS, 4>, panel_rows<V, BITS, 5>, panel_rows<V, BITS, 6>,
    };
    const Matrix& matrix = product.matrix;
    const uint8_t* panel = matrix.panels + index * matrix.panel_bytes();
    const int64_t rest = matrix.outputs - index * PANEL;
    const int count = rest < PANEL ? int(rest) : PANEL;
    for (int64_t row = 0; row < product.rows; row += MOST_ROWS) {
        const int64_t left = product.rows - row;
        const int rows = left < MOST_ROWS ? int(left) : MOST_ROWS;
        alignas(64) float totals[MOST_ROWS][PANEL];
        TILES[rows - 1](product, panel, row, totals);
        for (int r = 0; r < rows; r++) write_row(product, row + r, index * PANEL, count, totals[r]);
    }
}

template <class V>
static void multiply(const Product& product, int64_t begin, int64_t end) {
    for (int64_t index = begin; index < end; index++)
        product.matrix.bits == 4 ? multiply_panel<V, 4>(product, index)
                                 : multiply_panel<V, 8>(product, index);
}

}  // namespace cloister
