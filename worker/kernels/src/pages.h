// Keys and values of one key head of a sequence, found in its pages.
#pragma once

#include "tile.h"

namespace cloister {

// As units of 4 bytes. Where pages do not hold whole vectors, a block is copied first; its numbers
// are the same then.
template <class V>
class Pages {
  public:
    Pages(const Attention& job, const Run& run, int head)
        : pages_(job.places.pages + run.first_page),
          size_(job.heads.page_size),
          dim_(job.heads.head_dim),
          per_(job.heads.per()),
          half_(job.heads.half_units()),
          stride_(job.heads.kv_heads * job.heads.head_units()),
          base_(static_cast<const uint32_t*>(job.heads.pages) + head * job.heads.head_units()) {}

    // Are blocks read where they are?
    bool has_whole_keys() const { return size_ % V::LANES == 0; }
    bool has_whole_values() const { return dim_ % V::LANES == 0; }
    int columns() const { return (dim_ + V::LANES - 1) / V::LANES; }

    void find_keys(int64_t begin, int count, uint32_t* copies, Keys* keys) const {
        const bool direct = has_whole_keys();
        keys->stride = direct ? size_ : KEYS;
        if (!direct)
            for (int i = 0; i < count; i += V::LANES) keys->first[i / V::LANES] = copies + i;
        each_page(begin, count, [&](const uint32_t* page, int offset, int i, int length) {
            if (direct)
                for (int j = 0; j < length; j += V::LANES)
                    keys->first[(i + j) / V::LANES] = page + offset + j;
            else
                for (int unit = 0; unit < dim_ / per_; unit++)
                    memcpy(copies + unit * KEYS + i, page + unit * size_ + offset, 4 * length);
        });
    }

    void find_values(int64_t begin, int count, uint32_t* copies, Values* values) const {
        const bool direct = has_whole_values();
        const int width = columns() * V::LANES;
        each_page(begin, count, [&](const uint32_t* page, int offset, int i, int length) {
            for (int j = 0; j < length; j += per_) {
                const uint32_t* row = page + half_ + (offset + j) / per_ * dim_;
                const int unit = (i + j) / per_;
                // Numbers behind the last one may be anything; times a weight of 0, only bfloat16
                // spoils a sum.
                const bool half = per_ == 2 && j + 1 == length;
                values->rows[unit] =
                    direct && !half
                        ? row
                        : copy(row, half ? 0xffff : ~uint32_t(0), width, copies + unit * width);
            }
        });
    }

    // Scales of int8 [KEYS], of keys (`kind` 0) or values (1); 0 where there are none.
    void find_scales(int64_t begin, int count, int kind, float* scales) const {
        for (int i = count; i < KEYS; i++) scales[i] = 0;
        each_page(begin, count, [&](const uint32_t* page, int offset, int i, int length) {
            const uint16_t* from = reinterpret_cast<const uint16_t*>(page + 2 * half_);
            from += kind * size_ + offset;
            for (int j = 0; j < length; j++) scales[i + j] = widen(from[j]);
        });
    }

  private:
    // Call `use(page, offset, i, length)` for the stretches of [begin, begin + count) within pages:
    // `length` positions, the first of which is the `i`-th of all and stands at `offset`.
    template <class Use>
    void each_page(int64_t begin, int count, Use use) const {
        int64_t index = begin / size_;
        int offset = int(begin % size_);
        for (int i = 0, length; i < count; i += length, index++, offset = 0) {
            length = size_ - offset < count - i ? size_ - offset : count - i;
            use(base_ + pages_[index] * stride_, offset, i, length);
        }
    }

    const uint32_t* copy(const uint32_t* row, uint32_t mask, int width, uint32_t* to) const {
        for (int d = 0; d < width; d++) to[d] = d < dim_ ? row[d] & mask : 0;
        return to;
    }

    const int64_t* pages_;
    int size_, dim_, per_;
    int64_t half_, stride_;  // units
    const uint32_t* base_;
};

}  // namespace cloister
