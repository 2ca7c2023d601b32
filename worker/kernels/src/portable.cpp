// No instructions beyond those of every x86-64 or ARM: what all other variants are compared with.
#include "attention.h"
#include "bfloats.h"
#include "draw.h"
#include "quantise.h"

namespace cloister {
namespace {

struct Vectors {
    static constexpr int LANES = 8, COLUMNS = 32, ROWS = 1;
    struct Ints { int32_t lane[LANES]; };
    struct Floats { float lane[LANES]; };
    struct Codes { uint8_t byte[LANES * 4]; };
    using Four = const int8_t*;

    static Floats floats(float value) {
        Floats all;
        for (float& lane : all.lane) lane = value;
        return all;
    }

    static Floats real(const Ints& value) {
        Floats reals;
        for (int i = 0; i < LANES; i++) reals.lane[i] = float(value.lane[i]);
        return reals;
    }

    static Floats mul(Floats a, const Floats& b) {
        for (int i = 0; i < LANES; i++) a.lane[i] *= b.lane[i];
        return a;
    }

    static Floats fma(Floats a, const Floats& b, const Floats& c) {
        for (int i = 0; i < LANES; i++) a.lane[i] = fused(a.lane[i], b.lane[i], c.lane[i]);
        return a;
    }

    static void store(float* to, const Floats& value) { memcpy(to, value.lane, sizeof value.lane); }

    static Floats scales(const uint8_t* from) {
        uint16_t bfloats[LANES];
        memcpy(bfloats, from, sizeof bfloats);
        Floats all;
        for (int i = 0; i < LANES; i++) all.lane[i] = widen(bfloats[i]);
        return all;
    }

    static Four four(const int8_t* from) { return from; }

    template <int BITS>
    static void load(const uint8_t* from, Codes& low, Codes& high) {
        for (int i = 0; i < LANES * 4; i++) {
            low.byte[i] = BITS == 4 ? from[i] & 15 : from[i];
            high.byte[i] = BITS == 4 ? from[i] >> 4 : from[i + PANEL * 4];
        }
    }

    template <int BITS>
    static Ints start(int32_t value) {
        Ints all;
        for (int32_t& lane : all.lane) lane = value;
        return all;
    }

    template <int BITS>
    static Ints dot(Ints sum, const Codes& codes, Four values) {
        for (int i = 0; i < LANES; i++)
            for (int j = 0; j < 4; j++) sum.lane[i] += codes.byte[i * 4 + j] * values[j];
        return sum;
    }
};

struct Numbers {
    static constexpr int LANES = 8, COLUMNS = 32, ROWS = 1;
    using Floats = Vectors::Floats;
    struct Pairs { uint16_t number[LANES * 2]; };
    struct Mode {
        Mode() {}  // there is none to ask
    };

    static Floats zeros() { return Vectors::floats(0); }
    static void store(float* to, const Floats& value) { Vectors::store(to, value); }

    static Pairs pairs(const uint8_t* from) {
        Pairs all;
        memcpy(all.number, from, sizeof all.number);
        return all;
    }

    static Pairs pair(const uint16_t* from) {
        Pairs all;
        for (int i = 0; i < LANES * 2; i++) all.number[i] = from[i % 2];
        return all;
    }

    static Floats dot(Floats sum, const Pairs& a, const Pairs& b) {
        for (int i = 0; i < LANES; i++)
            for (int k = 2 * i + 1; k >= 2 * i; k--)
                sum.lane[i] =
                    fused_without_denormals(widen(a.number[k]), widen(b.number[k]), sum.lane[i]);
        return sum;
    }
};

bool runs_here() { return true; }

}  // namespace

const Variant PORTABLE = {"portable", runs_here, prepare, multiply<Tiles<Vectors>, PairTiles<Numbers>>,
                          keep_portable, attend_portable, drawing::draw, &MASKING_PORTABLE};

}  // namespace cloister
