// Attention with AVX2 and FMA: 8 sums of 8 numbers stay in registers.
#include <immintrin.h>

#include "attend.h"

namespace cloister {
namespace {

struct Vectors {
    static constexpr int LANES = 8, COLUMNS = 2;
    using Floats = __m256;
    using Ints = __m256i;

    static Floats floats(float value) { return _mm256_set1_ps(value); }
    static Floats load(const float* from) { return _mm256_loadu_ps(from); }
    static void store(float* to, Floats value) { _mm256_storeu_ps(to, value); }
    static Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
    static Floats sub(Floats a, Floats b) { return _mm256_sub_ps(a, b); }
    static Floats mul(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
    static Floats fma(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
    static Floats max(Floats a, Floats b) { return _mm256_max_ps(a, b); }
    static float first(Floats value) { return _mm256_cvtss_f32(value); }

    static __m256i units(const uint32_t* from) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    }

    static Floats low(const uint32_t* from) {
        return _mm256_castsi256_ps(_mm256_slli_epi32(units(from), 16));
    }

    static Floats high(const uint32_t* from) {
        const __m256i mask = _mm256_set1_epi32(int32_t(0xffff0000));
        return _mm256_castsi256_ps(_mm256_and_si256(units(from), mask));
    }

    static __m256i no_ints() { return _mm256_setzero_si256(); }
    static Floats reals(Ints value) { return _mm256_cvtepi32_ps(value); }

    static void store_16_bits(void* to, Floats value) {
        const __m256i ints = _mm256_cvtps_epi32(value);
        _mm_storeu_si128(static_cast<__m128i*>(to),
                         _mm_packs_epi32(_mm256_castsi256_si128(ints),
                                         _mm256_extracti128_si256(ints, 1)));
    }

    // Bytes as pairs of 16 bits.
    static Ints even_bytes(const uint32_t* from) {
        return _mm256_srai_epi16(_mm256_slli_epi16(units(from), 8), 8);
    }

    static Ints odd_bytes(const uint32_t* from) { return _mm256_srai_epi16(units(from), 8); }

    static Ints dot(Ints sum, Ints right, uint32_t left) {
        const Ints products = _mm256_madd_epi16(right, _mm256_set1_epi32(int32_t(left)));
        return _mm256_add_epi32(sum, products);
    }

    static Floats power(Floats value) {
        const __m256i bits = _mm256_add_epi32(_mm256_castps_si256(value), _mm256_set1_epi32(127));
        return _mm256_castsi256_ps(_mm256_slli_epi32(bits, 23));
    }

    static float largest(Floats value) {
        __m128 most = _mm_max_ps(_mm256_castps256_ps128(value), _mm256_extractf128_ps(value, 1));
        most = _mm_max_ps(most, _mm_movehl_ps(most, most));
        return _mm_cvtss_f32(_mm_max_ss(most, _mm_movehdup_ps(most)));
    }
};

}  // namespace

void keep_avx2(const Attention& job, int64_t begin, int64_t end) { keep(job, begin, end); }
void attend_avx2(const Attention& job, int64_t begin, int64_t end) {
    attend<Vectors>(job, begin, end);
}

}  // namespace cloister
