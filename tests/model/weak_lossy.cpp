// An observer's orders on weak memory: it copies records that the writer, who does not wait for it, may be
// overwriting. No copy that it takes for whole may be torn.
#include "weak.hpp"

enum {
    NONE,
    MARK_WITHOUT_FENCE,
    PUBLISH_RELAXED,
    LOOK_RELAXED,
    SECOND_LOOK_WITHOUT_FENCE,
    NO_MARK,
    NO_SECOND_LOOK,
};

struct Lossy : rl::test_suite<Lossy, 2> {
    rl::atomic<int> sequence[CAPACITY], word[CAPACITY][2];

    void before() {
        for (int number = 0; number < CAPACITY; number++)
            for (auto each : {&sequence[number], &word[number][0], &word[number][1]})
                (*each)($).store(0, mo_relaxed);
    }

    void thread(unsigned me) { me ? observe() : write(); }

    void write() {
        for (int s = 1; s <= RECORDS; s++) {
            int const slot = s % CAPACITY;
            if (FLAW != NO_MARK) sequence[slot]($).store(-s, mo_relaxed);
            fence_unless(MARK_WITHOUT_FENCE, mo_release);
            for (auto &each : word[slot]) each($).store(s, mo_relaxed);
            sequence[slot]($).store(s, unless(PUBLISH_RELAXED, mo_release));
        }
    }

    void observe() {
        for (int s = 1; s <= RECORDS; s++) {
            int const slot = s % CAPACITY;
            if (sequence[slot]($).load(unless(LOOK_RELAXED, mo_acquire)) != s) continue;
            int const first = word[slot][0]($).load(mo_relaxed);
            int const second = word[slot][1]($).load(mo_relaxed);
            fence_unless(SECOND_LOOK_WITHOUT_FENCE, mo_acquire);
            if (FLAW != NO_SECOND_LOOK && sequence[slot]($).load(mo_relaxed) != s) continue;
            RL_ASSERT(first == s && second == s);
        }
    }
};

int main() { return search<Lossy>(); }
