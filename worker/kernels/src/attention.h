// What crosses between Python and attention: a layer's heads and pages, and who stands where.
#pragma once

#include <cstdint>

#include "floats.h"
#include "format.h"

namespace cloister {

// One layer. A page holds for each key head its keys, then its values: [pages, kv_heads, numbers].
// Four bytes of numbers that are multiplied by neighbours stand together, a unit: keys are
// [head_dim / per, page_size, per], values [page_size / per, head_dim, per], where `per` is 1 for
// float32, 2 for bfloat16, 4 for int8. The four of int8 stand in the order 0, 2, 1, 3: as 16 bits,
// their low and high bytes are neighbours then. Behind them come bfloat16 scales of the keys
// [page_size] and of the values [page_size].
struct Heads {
    void* pages;
    const float* norms;  // [2, head_dim], of query and key heads, or null
    int64_t window;      // keys that a row sees, itself included; 0: all
    int32_t type;        // of pages
    int32_t heads;
    int32_t kv_heads;
    int32_t head_dim;
    int32_t page_size;
    float epsilon;

    int32_t group() const { return heads / kv_heads; }
    int64_t width() const { return int64_t(heads + 2 * kv_heads) * head_dim; }
    int32_t per() const { return type == INT8 ? 4 : type == BFLOAT16 ? 2 : 1; }
    int64_t half_units() const { return int64_t(page_size) * head_dim / per(); }
    int64_t head_units() const { return 2 * half_units() + (type == INT8 ? page_size : 0); }
};

// Consecutive rows of one sequence, at positions `start`, `start + 1`, ...
struct Run {
    int64_t first_row;
    int64_t rows;
    int64_t start;
    int64_t first_page;  // its place in `Places::pages`, which holds a sequence's pages in order
};

// A step, or a piece of one; the same for all layers.
struct Places {
    const Run* runs;
    const int64_t* pages;
    const float* cosines;  // [rows, head_dim / 2]
    const float* sines;
    int64_t run_count;
    int64_t rows;
};

struct Attention {
    const Heads& heads;
    const Places& places;
    Rows input;   // [rows, width()]: query, key and value heads
    Rows output;  // [rows, heads * head_dim]
};

constexpr int MOST_HEAD_DIM = 256;

// Numbers of queries that a block holds: they, and their sums, stay in the first cache.
constexpr int BLOCK_NUMBERS = 3072;
constexpr int MOST_QUERIES = 48;

// Queries of a block: a multiple of the rows of every tile.
static inline int block_queries(const Heads& heads) {
    const int fitting = BLOCK_NUMBERS / heads.head_dim / 6 * 6;
    return fitting < MOST_QUERIES ? fitting : MOST_QUERIES;
}

// Units of work of a run: blocks of its queries (rows times group) times key heads.
static inline int64_t block_count(const Heads& heads, const Run& run) {
    const int queries = block_queries(heads);
    return (run.rows * heads.group() + queries - 1) / queries;
}

// Put keys and values of rows into their pages; then compute blocks of queries.
void keep_portable(const Attention&, int64_t begin, int64_t end);
void attend_portable(const Attention&, int64_t begin, int64_t end);
void keep_avx2(const Attention&, int64_t begin, int64_t end);
void attend_avx2(const Attention&, int64_t begin, int64_t end);
void keep_avx512(const Attention&, int64_t begin, int64_t end);
void attend_avx512(const Attention&, int64_t begin, int64_t end);
void attend_avx512bf16(const Attention&, int64_t begin, int64_t end);

}  // namespace cloister
