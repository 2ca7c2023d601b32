// Products of a few rows with units of pages: as many sums as registers hold, for a vector type `V`
// and a kind of numbers `N`.
#pragma once

#include "numbers.h"

namespace cloister {

constexpr int KEYS = 64;  // that are seen at a time

// Units of a block of keys: `first[column] + unit * stride`. Those of the block behind it, if given,
// are asked for meanwhile: processors guess within a page, not where the next one is.
struct Keys {
    const uint32_t* first[KEYS / 4];
    int64_t stride;
    const Keys* next = nullptr;
    const uint32_t* at(int unit, int column, int) const { return first[column] + unit * stride; }
};

// Units of a block of values: `rows[unit]`, in columns of so many lanes.
struct Values {
    const uint32_t* rows[KEYS];
    const Values* next = nullptr;
    const uint32_t* at(int unit, int column, int lanes) const {
        return rows[unit] + column * lanes;
    }
};

// Where products go: scores [rows, KEYS], of keys with these scales,
template <class V, class N>
struct Scores {
    float* to;
    const float* scales;
    float* at(int row, int column) const { return to + row * KEYS + column * V::LANES; }
    typename N::Sum begin(int, int) const { return N::zero(); }
    void end(int row, int column, typename N::Sum sum) const {
        V::store(at(row, column), N::score(sum, scales + column * V::LANES));
    }
};

// or totals [rows, stride], which count `factors` of what they did, and to which `steps` are added.
template <class V, class N>
struct Totals {
    float* to;
    int stride;
    const float* factors;
    const float* steps;
    float* at(int row, int column) const { return to + row * stride + column * V::LANES; }
    typename N::Sum begin(int row, int column) const {
        return N::begin(at(row, column), factors[row]);
    }
    void end(int row, int column, typename N::Sum sum) const {
        float* total = at(row, column);
        V::store(total, N::end(sum, total, factors[row], steps[row]));
    }
};

// left [rows, units * parts] from `row` on times right [units, columns * lanes] from `column` on.
template <class V, class N, int ROWS, int COLUMNS, bool AHEAD, class Right, class To>
static void tile(const Right& right, int column, int units, const float* left,
                        int left_stride, int row, const To& to) {
    typename N::Sum sum[ROWS][COLUMNS];
    left += row * left_stride;
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLUMNS; c++) sum[r][c] = to.begin(row + r, column + c);
    for (int u = 0; u < units; u++) {
        if (AHEAD)
            for (int c = 0; c < COLUMNS; c++)
                __builtin_prefetch(right.next->at(u, column + c, V::LANES));
        for (int part = 0; part < N::PARTS; part++) {
            typename N::Right own[COLUMNS];
            for (int c = 0; c < COLUMNS; c++)
                own[c] = N::right(right.at(u, column + c, V::LANES), part);
            for (int r = 0; r < ROWS; r++)
                for (int c = 0; c < COLUMNS; c++)
                    sum[r][c] =
                        N::dot(sum[r][c], own[c], left + r * left_stride + u * N::PARTS + part);
        }
    }
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLUMNS; c++) to.end(row + r, column + c, sum[r][c]);
}

template <class V, class N, int ROWS, class Right, class To>
static void rows_times(const Right& right, int columns, int units, const float* left,
                       int left_stride, int row, const To& to) {
    int column = 0;
    for (; column + V::COLUMNS <= columns; column += V::COLUMNS) {
        const auto one = row == 0 && right.next ? tile<V, N, ROWS, V::COLUMNS, true, Right, To>
                                                : tile<V, N, ROWS, V::COLUMNS, false, Right, To>;
        one(right, column, units, left, left_stride, row, to);
    }
    for (; column < columns; column++)
        tile<V, N, ROWS, 1, false>(right, column, units, left, left_stride, row, to);
}

template <class V, class N, class Right, class To>
static void multiply_block(const Right& right, int columns, int units, int rows, const float* left,
                           int left_stride, const To& to) {
    using Rows = void (*)(const Right&, int, int, const float*, int, int, const To&);
    static constexpr Rows ROWS[6] = {
        rows_times<V, N, 1, Right, To>, rows_times<V, N, 2, Right, To>,
        rows_times<V, N, 3, Right, To>, rows_times<V, N, 4, Right, To>,
        rows_times<V, N, 5, Right, To>, rows_times<V, N, 6, Right, To>,
    };
    for (int row = 0; row < rows; row += 6) {
        const int count = rows - row < 6 ? rows - row : 6;
        ROWS[count - 1](right, columns, units, left, left_stride, row, to);
    }
}

}  // namespace cloister
