// How numbers that stand in pages are multiplied, over a vector type `V`. Each kind has
// - `right`: operands out of units of 4 bytes, `PARTS` of each, multiplied one after the other;
// - `pack`, `pack_weights`: numbers of the other side become operands of 4 bytes, in place; what
//   they then count by is returned. A weight is first multiplied with its value's scale (`weighed`);
// - `dot`: adds products of an operand of each side to a `Sum`;
// - `zero` and `score`: where sums of a query and keys begin, and what they become;
// - `begin` and `end`: the same for sums of weights and values, which are added to a total.
#pragma once

#include "attention.h"
#include "rounding.h"

namespace cloister {

template <class V, class T>
struct Numbers;

template <class V>
struct Numbers<V, float> {
    static constexpr int PARTS = 1;
    using Floats = typename V::Floats;
    using Sum = Floats;
    using Right = Floats;

    static Right right(const uint32_t* units, int) {
        return V::load(reinterpret_cast<const float*>(units));
    }
    static float pack(float*, int) { return 1; }
    static Floats weighed(Floats weight, const float*) { return weight; }
    static float pack_weights(float*, int, Floats) { return 1; }
    static Sum dot(Sum sum, Right right, const float* left) {
        return V::fma(V::floats(*left), right, sum);
    }
    static Sum zero() { return V::floats(0); }
    static Floats score(Sum sum, const float*) { return sum; }
    static Sum begin(const float* total, float factor) {
        return V::mul(V::load(total), V::floats(factor));
    }
    static Floats end(Sum sum, const float*, float, float) { return sum; }
};

template <class V>
struct Numbers<V, uint16_t> : Numbers<V, float> {
    static constexpr int PARTS = 2;
    static typename V::Floats right(const uint32_t* units, int part) {
        return part ? V::high(units) : V::low(units);
    }
};

// int8 times 16 bits, exactly: 256 * 127 * 32767 fits 32 bits. So queries, and weights of tokens,
// lose next to nothing, and sums have no order.
template <class V>
struct Numbers<V, int8_t> {
    static constexpr int PARTS = 2;
    static constexpr float LARGEST_LEFT = 32767;
    using Floats = typename V::Floats;
    using Sum = typename V::Ints;
    using Right = typename V::Ints;

    static Right right(const uint32_t* units, int part) {
        return part ? V::odd_bytes(units) : V::even_bytes(units);
    }
    static float pack(float* x, int count) {
        int16_t codes[MOST_HEAD_DIM];
        float step;
        const float inverse = fit(largest_size(x, count), &step);
        for (int i = 0; i < count; i++) codes[i] = int16_t(nearest(x[i] * inverse));
        memcpy(x, codes, count * sizeof *codes);
        return step;
    }
    static Floats weighed(Floats weight, const float* scales) {
        return V::mul(weight, V::load(scales));
    }
    static float pack_weights(float* x, int columns, Floats most) {
        float step;
        const Floats inverse = V::floats(fit(V::largest(most), &step));
        for (int c = 0; c < columns; c++)
            V::store_16_bits(reinterpret_cast<char*>(x) + c * V::LANES * 2,
                             V::mul(V::load(x + c * V::LANES), inverse));
        return step;
    }
    static Sum dot(Sum sum, Right right, const float* left) {
        return V::dot(sum, right, bits_of(*left));
    }
    static Sum zero() { return V::no_ints(); }
    static Floats score(Sum sum, const float* scales) {
        return V::mul(V::reals(sum), V::load(scales));
    }
    static Sum begin(const float*, float) { return zero(); }
    static Floats end(Sum sum, const float* total, float factor, float step) {
        return V::fma(V::reals(sum), V::floats(step), V::mul(V::load(total), V::floats(factor)));
    }

  private:
    // What numbers of at most this size are multiplied with, and what they count by then.
    static float fit(float largest, float* step) {
        const bool finite = is_finite(largest), counts = finite && largest >= SMALLEST;
        *step = finite ? (counts ? largest / LARGEST_LEFT : 1.0f) : NOT_A_NUMBER;
        return counts ? LARGEST_LEFT / largest : 0.0f;
    }
};

}  // namespace cloister
