// AMX: `tdpbsud` multiplies 16 rows of signed values with 16 columns of unsigned codes at once.
//
// A group is half of what a tile could hold: its sums leave the tiles to be scaled, as in all
// variants. Few rows are multiplied by AVX-512, which does not wait for tiles to fill, and so are
// rows of bf16, whose sums tiles would add in another order.
#include <immintrin.h>

#ifdef EMULATED_TILES  // what tests put in the place of the instructions
#include EMULATED_TILES
#else
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "attention.h"
#include "draw.h"
#include "multiply.h"
#include "quantise.h"

namespace cloister {
namespace {

constexpr int TILE = 16;  // rows, and columns of 4 bytes
constexpr int LEAST_ROWS = 9;
constexpr int LONGEST_GROUP = 64;  // bytes of a tile's row

struct alignas(64) Shape {
    uint8_t palette = 1, start = 0, reserved[14] = {};
    uint16_t bytes[16] = {};
    uint8_t rows[16] = {};

    void tile(int index, int count, int width) {
        rows[index] = uint8_t(count);
        bytes[index] = uint16_t(width);
    }
};

// Tiles 0 and 1 are sums of the first 16 rows, 2 and 3 of the others, left and right; 4 and 5 are
// codes, left and right; 6 and 7 are values of the first rows and of the others.
void shape_tiles(int rows, int group) {
    Shape shape;
    const int heights[2] = {rows < TILE ? rows : TILE, rows > TILE ? rows - TILE : 1};
    for (int half = 0; half < 2; half++) {
        for (int side = 0; side < 2; side++)
            shape.tile(2 * half + side, heights[half], TILE * 4);
        shape.tile(4 + half, group / 4, TILE * 4);
        shape.tile(6 + half, heights[half], group);
    }
    _tile_loadconfig(&shape);
}

// A group's codes as tiles read them: four inputs of 32 columns a row of 128 bytes.
template <int BITS>
const uint8_t* unpacked(const uint8_t* codes, int group, uint8_t* bytes) {
    if (BITS == 8) return codes;
    const __m512i mask = _mm512_set1_epi8(15);
    for (int k = 0; k < group / STEP; k++)
        for (int side = 0; side < 2; side++) {
            const __m512i both = _mm512_loadu_si512(codes + k * PANEL * 4 + side * 64);
            uint8_t* to = bytes + k * 2 * PANEL * 4 + side * 64;
            _mm512_store_si512(to, _mm512_and_si512(both, mask));
            _mm512_store_si512(to + PANEL * 4, _mm512_and_si512(_mm512_srli_epi16(both, 4), mask));
        }
    return bytes;
}

// The sums of up to 32 rows: above those of the first 16, below those of the others.
void sum_group(const uint8_t* codes, const int8_t* values, int64_t stride, bool two,
               int32_t (*sums)[PANEL]) {
    _tile_loadd(4, codes, PANEL * 4);
    _tile_loadd(5, codes + 64, PANEL * 4);
    _tile_zero(0);
    _tile_zero(1);
    _tile_loadd(6, values, stride);
    _tile_dpbsud(0, 6, 4);
    _tile_dpbsud(1, 6, 5);
    _tile_stored(0, sums[0], PANEL * 4);
    _tile_stored(1, sums[0] + TILE, PANEL * 4);
    if (!two) return;
    _tile_zero(2);
    _tile_zero(3);
    _tile_loadd(7, values + TILE * stride, stride);
    _tile_dpbsud(2, 7, 4);
    _tile_dpbsud(3, 7, 5);
    _tile_stored(2, sums[TILE], PANEL * 4);
    _tile_stored(3, sums[TILE] + TILE, PANEL * 4);
}

__m512 widened(const uint8_t* bfloats) {
    const __m256i narrow = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bfloats));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(narrow), 16));
}

void add_scaled(const int32_t* sums, int32_t start, __m512 scale, float own, float* totals) {
    const __m512i sum = _mm512_add_epi32(_mm512_loadu_si512(sums), _mm512_set1_epi32(start));
    const __m512 scales = _mm512_mul_ps(scale, _mm512_set1_ps(own)), total = _mm512_loadu_ps(totals);
    _mm512_storeu_ps(totals, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scales, total));
}

struct Block {
    static constexpr int ROWS = 2 * TILE;

    template <int BITS>
    static void multiply(const Product& product, const uint8_t* panel, int64_t row, int rows,
                         float (*totals)[PANEL]) {
        const Matrix& matrix = product.linear.matrix;
        const Activations& from = product.activations;
        const int64_t groups = matrix.groups(), stride = groups * matrix.group;
        alignas(64) uint8_t bytes[LONGEST_GROUP * PANEL];
        alignas(64) int32_t sums[ROWS][PANEL];
        memset(totals, 0, rows * sizeof *totals);
        shape_tiles(rows, matrix.group);
        for (int64_t g = 0; g < groups; g++) {
            const uint8_t* block = panel + g * matrix.block_bytes();
            const uint8_t* codes = unpacked<BITS>(block + SCALES_BYTES, matrix.group, bytes);
            sum_group(codes, from.values + row * stride + g * matrix.group, stride, rows > TILE,
                      sums);
            const __m512 left = widened(block), right = widened(block + TILE * 2);
            for (int r = 0; r < rows; r++) {
                const int64_t at = (row + r) * groups + g;
                add_scaled(sums[r], from.starts[at], left, from.scales[at], totals[r]);
                add_scaled(sums[r] + TILE, from.starts[at], right, from.scales[at],
                           totals[r] + TILE);
            }
        }
        _tile_release();
    }
};

void multiply_rows(const Product& product, int64_t begin, int64_t end) {
    const Matrix& matrix = product.linear.matrix;
    if (matrix.bits == 16)
        (AVX512_BF16.runs_here() ? AVX512_BF16 : AVX512).multiply(product, begin, end);
    else if (product.rows < LEAST_ROWS || matrix.group > LONGEST_GROUP)
        AVX512.multiply(product, begin, end);
    else
        (matrix.bits == 4 ? multiply_panels<Block, 4>
                          : multiply_panels<Block, 8>)(product, begin, end);
}

void attend(const Attention& job, int64_t begin, int64_t end) {
    (AVX512_BF16.runs_here() ? attend_avx512bf16 : attend_avx512)(job, begin, end);
}

#ifdef EMULATED_TILES
bool runs_here() { return AVX512.runs_here(); }
#else
// Linux gives tiles to a process that asks; a home may not know the question.
bool granted() {
    constexpr long ASK = 0x1023, TILE_DATA = 18;
    return syscall(SYS_arch_prctl, ASK, TILE_DATA) == 0;
}

bool runs_here() {
    return AVX512.runs_here() && __builtin_cpu_supports("amx-tile") &&
           __builtin_cpu_supports("amx-int8") && granted();
}
#endif

}  // namespace

const Variant AMX = {"amx", runs_here, prepare, multiply_rows,
                     keep_avx512, attend, drawing::draw, &MASKING_AVX512};

}  // namespace cloister
