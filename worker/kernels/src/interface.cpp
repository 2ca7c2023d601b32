// The C interface that Python calls. Arguments are checked there.
#include "agree.h"
#include "attention.h"
#include "format.h"
#include "pool.h"

using namespace cloister;

namespace {

const Variant* const VARIANTS[] = {
#if defined(HAS_AMX)
    &AMX,
#endif
#if defined(HAS_AVX512BF16)
    &AVX512_BF16,
#endif
#if defined(__x86_64__)
    &AVX512, &AVX2,
#endif
    &PORTABLE};

struct Work {
    const Variant* variant;
    const Product* product;
};

struct Drawing {
    const Variant* variant;
    const Draw* draw;
};

void prepare_part(const void* job, int64_t begin, int64_t end) {
    const Work* work = static_cast<const Work*>(job);
    work->variant->prepare(*work->product, begin, end);
}

void multiply_part(const void* job, int64_t begin, int64_t end) {
    const Work* work = static_cast<const Work*>(job);
    work->variant->multiply(*work->product, begin, end);
}

struct Attending {
    const Variant* variant;
    Attention attention;
};

void keep_part(const void* job, int64_t begin, int64_t end) {
    const Attending* work = static_cast<const Attending*>(job);
    work->variant->keep(work->attention, begin, end);
}

void attend_part(const void* job, int64_t begin, int64_t end) {
    const Attending* work = static_cast<const Attending*>(job);
    work->variant->attend(work->attention, begin, end);
}

void draw_part(const void* job, int64_t begin, int64_t end) {
    const Drawing* drawing = static_cast<const Drawing*>(job);
    drawing->variant->draw(*drawing->draw, begin, end);
}

constexpr int64_t ROWS_AT_A_TIME = 16;  // fewer are not worth a second thread
constexpr int64_t BYTES_AT_A_TIME = 1 << 16;  // of weights: a thread reads them in 3 microseconds
constexpr int64_t FEW_PRODUCTS = 1 << 20;  // of an attention: waking a thread would take longer

// Panels that are worth a thread: each tile of rows reads them again.
int64_t few_panels(const Linear& linear, int64_t rows) {
    const int64_t tiles = 1 + rows / 8;
    const int64_t bytes = linear.matrix.panel_bytes() * linear.parts() * tiles;
    return bytes < BYTES_AT_A_TIME ? BYTES_AT_A_TIME / bytes : 1;
}

// Multiply-adds of both products, roughly.
int64_t products(const Heads& heads, const Places& places) {
    int64_t keys = 0;
    for (int64_t i = 0; i < places.run_count; i++) {
        const Run& run = places.runs[i];
        keys += run.rows * (run.start + run.rows);
    }
    return keys * heads.heads * heads.head_dim * 2;
}

int64_t all_blocks(const Heads& heads, const Places& places) {
    int64_t count = 0;
    for (int64_t i = 0; i < places.run_count; i++) count += block_count(heads, places.runs[i]);
    return count * heads.kv_heads;
}

}  // namespace

const Variant& cloister::variant_at(int32_t index) { return *VARIANTS[index]; }

// Raised with every change of this interface: a library left over from another version is refused.
CLOISTER_CALL int32_t cloister_version() { return 6; }

CLOISTER_CALL int32_t cloister_variants() { return sizeof VARIANTS / sizeof *VARIANTS; }

CLOISTER_CALL const char* cloister_name(int32_t variant) { return VARIANTS[variant]->name; }

// 1: yes; 0: this machine lacks it; -1: it is there, and computes something else.
CLOISTER_CALL int32_t cloister_runs_here(int32_t variant) {
    const Variant& asked = *VARIANTS[variant];
    return asked.runs_here() ? (agrees(asked) ? 1 : -1) : 0;
}

// `scratch` holds the rows as they are multiplied: quantised, a byte an input and 8 bytes a group;
// of bf16, their stride.
CLOISTER_CALL void cloister_multiply(int32_t variant, const Linear* linear, const Rows* input,
                                     const Rows* output, int64_t rows, void* scratch) {
    const Matrix& matrix = linear->matrix;
    const int64_t groups = rows * matrix.groups();
    int8_t* values = static_cast<int8_t*>(scratch);
    float* scales = reinterpret_cast<float*>(values + groups * matrix.group);
    int32_t* starts = reinterpret_cast<int32_t*>(scales + groups);
    const Activations rounded = {values, scales, starts, static_cast<uint16_t*>(scratch)};
    const Product product = {*linear, *input, *output, rows, rounded};
    const Work work = {VARIANTS[variant], &product};
    run(prepare_part, &work, rows, ROWS_AT_A_TIME);
    run(multiply_part, &work, matrix.panel_count(), few_panels(*linear, rows));
}

CLOISTER_CALL void cloister_attend(int32_t variant, const Heads* heads, const Places* places,
                                   void* input, void* output, int32_t type) {
    const Rows in = {input, heads->width(), type};
    const Rows out = {output, int64_t(heads->heads) * heads->head_dim, type};
    const Attending work = {VARIANTS[variant], {*heads, *places, in, out}};
    const int64_t blocks = all_blocks(*heads, *places);
    const bool few = products(*heads, *places) < FEW_PRODUCTS;
    run(keep_part, &work, places->rows, ROWS_AT_A_TIME);
    run(attend_part, &work, blocks, few ? blocks : 1);
}

CLOISTER_CALL void cloister_draw(int32_t variant, const Draw* draw) {
    const Drawing drawing = {VARIANTS[variant], draw};
    run(draw_part, &drawing, draw->rows, 1);
}
