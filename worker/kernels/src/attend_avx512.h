// Vectors of AVX-512 for attention: 24 sums of 16 numbers stay in registers.
#pragma once

#include <immintrin.h>

#include "attend.h"

namespace cloister {
namespace {

struct Avx512 {
    static constexpr int LANES = 16, COLUMNS = 4;
    using Floats = __m512;
    using Ints = __m512i;

    static Floats floats(float value) { return _mm512_set1_ps(value); }
    static Floats load(const float* from) { return _mm512_loadu_ps(from); }
    static void store(float* to, Floats value) { _mm512_storeu_ps(to, value); }
    static Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
    static Floats sub(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
    static Floats mul(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
    static Floats fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
    static Floats max(Floats a, Floats b) { return _mm512_max_ps(a, b); }
    static float first(Floats value) { return _mm512_cvtss_f32(value); }
    static float largest(Floats value) { return _mm512_reduce_max_ps(value); }

    static Floats low(const uint32_t* units) {
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(units), 16));
    }

    static Floats high(const uint32_t* units) {
        const __m512i mask = _mm512_set1_epi32(int32_t(0xffff0000));
        return _mm512_castsi512_ps(_mm512_and_si512(_mm512_loadu_si512(units), mask));
    }

    static Ints no_ints() { return _mm512_setzero_si512(); }
    static Floats reals(Ints value) { return _mm512_cvtepi32_ps(value); }

    static void store_16_bits(void* to, Floats value) {
        _mm256_storeu_si256(static_cast<__m256i*>(to),
                            _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(value)));
    }

    // Bytes as pairs of 16 bits.
    static Ints even_bytes(const uint32_t* units) {
        return _mm512_srai_epi16(_mm512_slli_epi16(_mm512_loadu_si512(units), 8), 8);
    }

    static Ints odd_bytes(const uint32_t* units) {
        return _mm512_srai_epi16(_mm512_loadu_si512(units), 8);
    }

    static Ints dot(Ints sum, Ints right, uint32_t left) {
        // The intrinsic makes compilers copy the sums around.
        asm("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(right), "v"(_mm512_set1_epi32(int32_t(left))));
        return sum;
    }

    static Floats power(Floats value) {
        const __m512i bits = _mm512_add_epi32(_mm512_castps_si512(value), _mm512_set1_epi32(127));
        return _mm512_castsi512_ps(_mm512_slli_epi32(bits, 23));
    }
};

}  // namespace
}  // namespace cloister
