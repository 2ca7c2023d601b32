// Quantised rows times panels of codes, written once over a vector type `V` of each instruction
// set; and what surrounds any product with a panel.
//
// A tile is up to TILE_ROWS rows times V::COLUMNS outputs. Within a group sums are integers and
// exact; then sum * (weight scale * row scale) is added to float totals with one rounding, groups in
// order. So a result is the same to the bit in all variants, whatever the tile, the thread, or the
// other rows.
#pragma once

#include "rows.h"
#include "silu.h"

namespace cloister {

// Bytes: far enough for memory, and through the 4 KiB borders at which processors stop guessing.
constexpr int AHEAD = 8192;
constexpr int LINE = 64;  // what is fetched at a time; each line is asked for

constexpr int USUAL_GROUP = 32;  // known to the compiler, it is 1.03 times as fast

// Of a tile: 12 sums and 12 totals of 16 columns fill the 32 registers of AVX-512.
constexpr int TILE_ROWS = 6;

template <class V, int BITS, int ROWS, int GROUP>
static inline void tile(const Product& product, const uint8_t* panel, int first, int64_t row,
                        float (*totals)[PANEL]) {
    constexpr int N = V::COLUMNS / V::LANES;
    const Matrix& matrix = product.linear.matrix;
    const Activations& from = product.activations;
    const int64_t groups = matrix.groups(), block_bytes = matrix.block_bytes();
    const int group = GROUP ? GROUP : matrix.group;
    typename V::Floats total[ROWS][N];
    for (int r = 0; r < ROWS; r++)
        for (int n = 0; n < N; n++) total[r][n] = V::floats(0);
    for (int64_t g = 0; g < groups; g++) {
        const uint8_t* scales = panel + g * block_bytes + first * 2;
        const uint8_t* codes = panel + g * block_bytes + SCALES_BYTES + first * 4;
        const int8_t* values = from.values + (row * groups + g) * group;
        __builtin_prefetch(scales + AHEAD);
        typename V::Ints sum[ROWS][N];
        for (int r = 0; r < ROWS; r++)
            for (int n = 0; n < N; n++)
                sum[r][n] = V::template start<BITS>(from.starts[(row + r) * groups + g]);
        for (int k = 0; k < group; k += STEP, codes += STEP * PANEL * BITS / 8) {
            for (int line = 0; line < STEP * PANEL * BITS / 8; line += LINE)
                __builtin_prefetch(codes + AHEAD + line);
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
                total[r][n] = V::fma(V::real(sum[r][n]), V::mul(scale, own), total[r][n]);
            }
        }
    }
    for (int r = 0; r < ROWS; r++)
        for (int n = 0; n < N; n++) V::store(totals[r] + first + n * V::LANES, total[r][n]);
}

template <class V, int BITS, int ROWS>
static void panel_rows(const Product& product, const uint8_t* panel, int64_t row,
                       float (*totals)[PANEL]) {
    for (int first = 0; first < PANEL; first += V::COLUMNS)
        if (product.linear.matrix.group == USUAL_GROUP)
            tile<V, BITS, ROWS, USUAL_GROUP>(product, panel, first, row, totals);
        else
            tile<V, BITS, ROWS, 0>(product, panel, first, row, totals);
}

// A panel times up to ROWS rows, in tiles of V::ROWS: fewer where there are fewer registers.
template <class V>
struct Tiles {
    static constexpr int ROWS = TILE_ROWS;

    template <int BITS>
    static void multiply(const Product& product, const uint8_t* panel, int64_t row, int rows,
                         float (*totals)[PANEL]) {
        using Tile = void (*)(const Product&, const uint8_t*, int64_t, float (*)[PANEL]);
        static constexpr Tile TILES[TILE_ROWS] = {
            panel_rows<V, BITS, 1>,
            panel_rows<V, BITS, V::ROWS < 2 ? 1 : 2>,
            panel_rows<V, BITS, V::ROWS < 3 ? 1 : 3>,
            panel_rows<V, BITS, V::ROWS < 4 ? 1 : 4>,
            panel_rows<V, BITS, V::ROWS < 5 ? 1 : 5>,
            panel_rows<V, BITS, V::ROWS < 6 ? 1 : 6>,
        };
        for (int done = 0; done < rows; done += V::ROWS) {
            const int count = rows - done < V::ROWS ? rows - done : V::ROWS;
            TILES[count - 1](product, panel, row + done, totals + done);
        }
    }
};

static inline void add_bias(const Linear& linear, int part, int64_t first, int count, float* row) {
    if (!linear.bias) return;
    const float* bias = linear.bias + part * linear.matrix.outputs + first;
    for (int i = 0; i < count; i++) row[i] += bias[i];
}

// `Block` multiplies a panel with up to Block::ROWS rows.
template <class Block, int BITS>
static void multiply_panel(const Product& product, int64_t index) {
    const Linear& linear = product.linear;
    const Matrix& matrix = linear.matrix;
    const uint8_t* panels = matrix.panels + index * linear.parts() * matrix.panel_bytes();
    const int64_t first = index * PANEL, rest = matrix.outputs - first;
    const int count = rest < PANEL ? int(rest) : PANEL;
    const int64_t blocks = (product.rows + Block::ROWS - 1) / Block::ROWS;
    for (int64_t block = 0; block < blocks; block++) {  // of about equal heights
        const int64_t row = product.rows * block / blocks;
        const int rows = int(product.rows * (block + 1) / blocks - row);
        alignas(64) float totals[2][Block::ROWS][PANEL];
        for (int part = 0; part < linear.parts(); part++) {
            const uint8_t* panel = panels + part * matrix.panel_bytes();
            Block::template multiply<BITS>(product, panel, row, rows, totals[part]);
            for (int r = 0; r < rows; r++) add_bias(linear, part, first, count, totals[part][r]);
        }
        for (int r = 0; r < rows; r++) {
            if (linear.gated) silu_multiply(totals[0][r], totals[1][r]);
            write(product.output, row + r, first, count, totals[0][r]);
        }
    }
}

template <class Block, int BITS>
static void multiply_panels(const Product& product, int64_t begin, int64_t end) {
    for (int64_t index = begin; index < end; index++) multiply_panel<Block, BITS>(product, index);
}

// `Codes` multiplies panels of codes, `Numbers` those of bf16.
template <class Codes, class Numbers>
static void multiply(const Product& product, int64_t begin, int64_t end) {
    const int32_t bits = product.linear.matrix.bits;
    (bits == 4   ? multiply_panels<Codes, 4>
     : bits == 8 ? multiply_panels<Codes, 8>
                 : multiply_panels<Numbers, 16>)(product, begin, end);
}

}  // namespace cloister
