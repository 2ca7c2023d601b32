// The C interface that Python calls. Arguments are checked there, in packed.py.
#include "format.h"
#include "pool.h"

using namespace cloister;

namespace {

#if defined(__x86_64__)
const Variant* const VARIANTS[] = {&AVX512, &AVX2, &PORTABLE};  // best first
#else
const Variant* const VARIANTS[] = {&PORTABLE};
#endif

struct Work {
    const Variant* variant;
    const Product* product;
};

void quantise_part(const void* job, int64_t begin, int64_t end) {
    const Work* work = static_cast<const Work*>(job);
    work->variant->quantise(*work->product, begin, end);
}

void multiply_part(const void* job, int64_t begin, int64_t end) {
    const Work* work = static_cast<const Work*>(job);
    work->variant->multiply(*work->product, begin, end);
}

constexpr int64_t ROWS_AT_A_TIME = 16;   // fewer are not worth a second thread
constexpr int64_t PANELS_AT_A_TIME = 8;

}  // namespace

// Raised with every change of this interface: a library left over from another version is refused.
CLOISTER_CALL int32_t cloister_version() { return 2; }

CLOISTER_CALL int32_t cloister_variants() { return sizeof VARIANTS / sizeof *VARIANTS; }

CLOISTER_CALL const char* cloister_name(int32_t variant) { return VARIANTS[variant]->name; }

CLOISTER_CALL int32_t cloister_runs_here(int32_t variant) { return VARIANTS[variant]->runs_here(); }

CLOISTER_CALL void cloister_multiply(int32_t variant, const Product* product) {
    const Work work = {VARIANTS[variant], product};
    run(quantise_part, &work, product->rows, ROWS_AT_A_TIME);
    run(multiply_part, &work, product->matrix.panel_count(), PANELS_AT_A_TIME);
}
