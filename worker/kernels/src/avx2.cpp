// AVX2: `vpmaddubsw` adds pairs of products in 16 bits, which must not overflow.
#include <immintrin.h>

#include "attention.h"
#include "bfloats.h"
#include "draw.h"
#include "flush.h"
#include "quantise.h"

namespace cloister {
namespace {

struct Vectors {
    static constexpr int LANES = 8, COLUMNS = 16, ROWS = 2;
    using Ints = __m256i;
    using Codes = __m256i;
    using Four = __m256i;
    using Floats = __m256;

    static Floats floats(float value) { return _mm256_set1_ps(value); }
    static Floats real(Ints value) { return _mm256_cvtepi32_ps(value); }
    static Floats mul(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
    static Floats fma(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
    static void store(float* to, Floats value) { _mm256_storeu_ps(to, value); }

    static Floats scales(const uint8_t* from) {
        const __m128i bfloats = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bfloats), 16));
    }

    static Four four(const int8_t* from) {
        int32_t value;
        memcpy(&value, from, sizeof value);
        return _mm256_set1_epi32(value);
    }

    static __m256i bytes(const uint8_t* from) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    }

    template <int BITS>
    static void load(const uint8_t* from, Codes& low, Codes& high) {
        if constexpr (BITS == 4) {
            const __m256i mask = _mm256_set1_epi8(15);
            low = _mm256_and_si256(bytes(from), mask);
            high = _mm256_and_si256(_mm256_srli_epi16(bytes(from), 4), mask);
        } else {
            low = bytes(from);
            high = bytes(from + PANEL * 4);
        }
    }

    // Codes of 4 bits: 2 * 15 * 127 fits. Codes of 8 bits would not, so |code - 128| is multiplied
    // with the value under the code's sign, at most 2 * 128 * 127, and nothing is left to cancel.
    template <int BITS>
    static Ints start(int32_t value) {
        return _mm256_set1_epi32(BITS == 4 ? value : 0);
    }

    template <int BITS>
    static Ints dot(Ints sum, Codes codes, Four values) {
        if constexpr (BITS == 8) {
            const __m256i plain = _mm256_xor_si256(codes, _mm256_set1_epi8(-128));
            codes = _mm256_abs_epi8(plain);
            values = _mm256_sign_epi8(values, plain);
        }
        const __m256i pairs = _mm256_maddubs_epi16(codes, values);
        return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
};

struct Numbers {
    static constexpr int LANES = 8, COLUMNS = 16, ROWS = 4;
    using Floats = __m256;
    struct Pairs {
        Floats first, second;
    };
    using Mode = Flush;

    static Floats zeros() { return _mm256_setzero_ps(); }
    static void store(float* to, Floats value) { Vectors::store(to, value); }

    static Pairs apart(__m256i pairs) {
        return {_mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16)),
                _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32(int(0xffff0000))))};
    }

    static Pairs pairs(const uint8_t* from) { return apart(Vectors::bytes(from)); }

    static Pairs pair(const uint16_t* from) {
        int32_t both;
        memcpy(&both, from, sizeof both);
        return apart(_mm256_set1_epi32(both));
    }

    static Floats dot(Floats sum, const Pairs& a, const Pairs& b) {
        return _mm256_fmadd_ps(a.first, b.first, _mm256_fmadd_ps(a.second, b.second, sum));
    }
};

bool runs_here() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

}  // namespace

const Variant AVX2 = {"avx2", runs_here, prepare, multiply<Tiles<Vectors>, PairTiles<Numbers>>,
                      keep_avx2, attend_avx2, drawing::draw, &MASKING_AVX2};

}  // namespace cloister
