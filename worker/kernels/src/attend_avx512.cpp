// Attention with AVX-512.
#include "attend_avx512.h"

namespace cloister {

void keep_avx512(const Attention& job, int64_t begin, int64_t end) { keep(job, begin, end); }
void attend_avx512(const Attention& job, int64_t begin, int64_t end) {
    attend<Avx512>(job, begin, end);
}

}  // namespace cloister
