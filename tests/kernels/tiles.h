// AMX's tiles in plain C++, as Intel's manual describes them (Software Developer's Manual, volume 1,
// chapter 18): what a machine without them tests amx.cpp with. What hardware would refuse, aborts.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace tiles {

struct Tile {
    uint8_t bytes[16][64];
    int rows, width;
};

static thread_local Tile all[8];
static thread_local bool shaped = false;

static inline void check(bool holds) {
    if (!holds) abort();
}

static inline void loadconfig(const void* from) {
    const uint8_t* config = static_cast<const uint8_t*>(from);
    check(config[0] == 1 && config[1] == 0);
    for (int i = 2; i < 16; i++) check(config[i] == 0);
    for (int i = 0; i < 16; i++) {
        uint16_t width;
        memcpy(&width, config + 16 + 2 * i, sizeof width);
        const int rows = config[48 + i];
        check(i < 8 ? rows <= 16 && width <= 64 && !rows == !width : !rows && !width);
        if (i < 8) all[i] = Tile{{}, rows, width};
    }
    shaped = true;
}

static inline void release() { shaped = false; }

static inline Tile& tile(int index) {
    check(shaped && all[index].rows > 0);
    return all[index];
}

static inline void zero(int index) { memset(tile(index).bytes, 0, sizeof tile(index).bytes); }

static inline void load(int index, const void* from, int64_t stride) {
    zero(index);
    for (int r = 0; r < tile(index).rows; r++)
        memcpy(tile(index).bytes[r], static_cast<const uint8_t*>(from) + r * stride,
               tile(index).width);
}

static inline void store(int index, void* to, int64_t stride) {
    for (int r = 0; r < tile(index).rows; r++)
        memcpy(static_cast<uint8_t*>(to) + r * stride, tile(index).bytes[r], tile(index).width);
}

// to[row][column] += four signed bytes of `left`'s row times four unsigned of `right`'s column.
static inline void dpbsud(int to, int left, int right) {
    check(to != left && to != right && left != right && tile(to).rows == tile(left).rows);
    check(tile(to).width == tile(right).width && tile(left).width == 4 * tile(right).rows);
    for (int row = 0; row < tile(to).rows; row++)
        for (int column = 0; column < tile(to).width / 4; column++) {
            int32_t sum;
            memcpy(&sum, tile(to).bytes[row] + 4 * column, sizeof sum);
            for (int k = 0; k < tile(left).width; k++)
                sum += int8_t(tile(left).bytes[row][k]) *
                       tile(right).bytes[k / 4][4 * column + k % 4];
            memcpy(tile(to).bytes[row] + 4 * column, &sum, sizeof sum);
        }
}

}  // namespace tiles

#undef _tile_loadd
#undef _tile_stored
#undef _tile_zero
#undef _tile_dpbsud
#define _tile_loadconfig tiles::loadconfig
#define _tile_release tiles::release
#define _tile_zero tiles::zero
#define _tile_loadd tiles::load
#define _tile_stored tiles::store
#define _tile_dpbsud tiles::dpbsud
