// AVX-512 with BF16: `vdpbf16ps` multiplies 32 numbers with 32 others at once. Codes are multiplied
// as by AVX-512 without it.
#include <immintrin.h>

#include "attention.h"
#include "bfloats.h"
#include "draw.h"
#include "quantise.h"

namespace cloister {
namespace {

struct Numbers {
    static constexpr int LANES = 16, COLUMNS = 32, ROWS = 12;
    using Floats = __m512;
    using Pairs = __m512i;
    struct Mode {
        Mode() {}  // the instruction asks none
    };

    static Floats zeros() { return _mm512_setzero_ps(); }
    static void store(float* to, Floats value) { _mm512_storeu_ps(to, value); }
    static Pairs pairs(const uint8_t* from) { return _mm512_loadu_si512(from); }

    static Pairs pair(const uint16_t* from) {
        int32_t both;
        memcpy(&both, from, sizeof both);
        return _mm512_set1_epi32(both);
    }

    static Floats dot(Floats sum, Pairs a, Pairs b) {
        return _mm512_dpbf16_ps(sum, __m512bh(a), __m512bh(b));
    }
};

void multiply_rows(const Product& product, int64_t begin, int64_t end) {
    product.linear.matrix.bits == 16
        ? multiply_panels<PairTiles<Numbers>, 16>(product, begin, end)
        : AVX512.multiply(product, begin, end);
}

bool runs_here() { return AVX512.runs_here() && __builtin_cpu_supports("avx512bf16"); }

}  // namespace

const Variant AVX512_BF16 = {"avx512bf16", runs_here, prepare, multiply_rows,
                             keep_avx512, attend_avx512bf16, drawing::draw, &MASKING_AVX512};

}  // namespace cloister
