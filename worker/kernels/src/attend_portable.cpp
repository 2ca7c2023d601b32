// No instructions beyond those of every x86-64 or ARM.
#include "attend.h"

namespace cloister {
namespace {

struct Vectors {
    static constexpr int LANES = 8, COLUMNS = 1, ROWS = 3;
    template <class T>
    using Numbers = Exact<Vectors, T>;
    struct Floats { float lane[LANES]; };

    static Floats floats(float value) {
        Floats all;
        for (float& lane : all.lane) lane = value;
        return all;
    }

    static Floats load(const float* from) {
        Floats all;
        memcpy(all.lane, from, sizeof all.lane);
        return all;
    }

    static void store(float* to, const Floats& value) { memcpy(to, value.lane, sizeof value.lane); }

    static Floats low(const uint32_t* units) {
        Floats all;
        for (int i = 0; i < LANES; i++) all.lane[i] = float_of(units[i] << 16);
        return all;
    }

    static Floats high(const uint32_t* units) {
        Floats all;
        for (int i = 0; i < LANES; i++) all.lane[i] = float_of(units[i] & 0xffff0000);
        return all;
    }

    static Floats add(Floats a, const Floats& b) {
        for (int i = 0; i < LANES; i++) a.lane[i] += b.lane[i];
        return a;
    }

    static Floats sub(Floats a, const Floats& b) {
        for (int i = 0; i < LANES; i++) a.lane[i] -= b.lane[i];
        return a;
    }

    static Floats mul(Floats a, const Floats& b) {
        for (int i = 0; i < LANES; i++) a.lane[i] *= b.lane[i];
        return a;
    }

    static Floats fma(const Floats& a, const Floats& b, Floats c) {
        for (int i = 0; i < LANES; i++) c.lane[i] += a.lane[i] * b.lane[i];
        return c;
    }

    static Floats max(const Floats& a, Floats b) {
        for (int i = 0; i < LANES; i++) b.lane[i] = a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i];
        return b;
    }

    static Floats power(Floats value) {
        for (float& lane : value.lane) lane = float_of((bits_of(lane) + 127) << 23);
        return value;
    }

    static float first(const Floats& value) { return value.lane[0]; }

    static float largest(const Floats& value) {
        float most = value.lane[0];
        for (float lane : value.lane) most = lane > most ? lane : most;
        return most;
    }
};

}  // namespace

void keep_portable(const Attention& job, int64_t begin, int64_t end) { keep(job, begin, end); }
void attend_portable(const Attention& job, int64_t begin, int64_t end) {
    attend<Vectors>(job, begin, end);
}

}  // namespace cloister
