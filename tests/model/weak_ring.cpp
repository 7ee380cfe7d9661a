// The ring's orders on weak memory: a writer and two gating readers. Payloads are plain memory, so a record
// that is read or overwritten without an order between the two is a data race.
#include "weak.hpp"

enum { NONE, PUBLISH_RELAXED, LOOK_RELAXED, RELEASE_RELAXED, GATE_RELAXED };

struct Ring : rl::test_suite<Ring, 3> {
    rl::atomic<int> sequence[CAPACITY], position[2];
    rl::var<int> word[CAPACITY];

    void before() {
        for (int number = 0; number < CAPACITY; number++) {
            sequence[number]($).store(0, mo_relaxed);
            word[number]($) = 0;
        }
        position[0]($).store(0, mo_relaxed);
        position[1]($).store(0, mo_relaxed);
    }

    void thread(unsigned me) { me ? read(me - 1) : write(); }

    void write() {
        for (int s = 1; s <= RECORDS; s++) {
            for (auto &reader : position)
                while (reader($).load(unless(GATE_RELAXED, mo_acquire)) + CAPACITY < s) rl::yield(1, $);
            sequence[s % CAPACITY]($).store(-s, mo_relaxed);
            rl::atomic_thread_fence(mo_release, $);
            word[s % CAPACITY]($) = s;
            sequence[s % CAPACITY]($).store(s, unless(PUBLISH_RELAXED, mo_release));
        }
    }

    void read(int me) {
        for (int s = 1; s <= RECORDS; s++) {
            while (sequence[s % CAPACITY]($).load(unless(LOOK_RELAXED, mo_acquire)) != s) rl::yield(1, $);
            RL_ASSERT(word[s % CAPACITY]($) == s);
            position[me]($).store(s, unless(RELEASE_RELAXED, mo_release));
        }
    }
};

int main() { return search<Ring>(); }
