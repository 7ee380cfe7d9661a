// The orders around sleeping on weak memory: either the writer sees that a reader lies down, or the reader
// sees the record. What the kernel does in a futex call is ordered by a lock of its own.
#include "weak.hpp"

enum { NONE, NO_WAKER_FENCE, NO_READER_FENCE, NO_RECHECK, WAKE_BEFORE_CLEAR, WAKE_BEFORE_STORE };

struct Park : rl::test_suite<Park, 3> {
    rl::atomic<int> sequence[RECORDS + 1], parked[2];
    rl::mutex kernel;
    bool asleep[2];

    void before() {
        for (auto &each : sequence) each($).store(0, mo_relaxed);
        for (int me : {0, 1}) parked[me]($).store(asleep[me] = 0, mo_relaxed);
    }

    void thread(unsigned me) { me ? read(me - 1) : write(); }

    // Who sleeps at the end has been forgotten: there is a record for it.
    void after() { RL_ASSERT(!asleep[0] && !asleep[1]); }

    void futex_wake(int who) {
        kernel.lock($);
        asleep[who] = false;
        kernel.unlock($);
    }

    void futex_wait(int me) {
        kernel.lock($);
        asleep[me] = parked[me]($).load(mo_relaxed) == 1;
        kernel.unlock($);
    }

    void wake() {
        fence_unless(NO_WAKER_FENCE, mo_seq_cst);
        for (int who : {0, 1})
            if (parked[who]($).load(mo_relaxed)) {
                if (FLAW == WAKE_BEFORE_CLEAR) futex_wake(who);
                parked[who]($).store(0, mo_relaxed);
                if (FLAW != WAKE_BEFORE_CLEAR) futex_wake(who);
            }
    }

    void write() {
        for (int s = 1; s <= RECORDS; s++) {
            if (FLAW == WAKE_BEFORE_STORE) wake();
            sequence[s]($).store(s, mo_release);
            if (FLAW != WAKE_BEFORE_STORE) wake();
        }
    }

    // A run of a reader ends where it sleeps: what would wake it is the writer's last word.
    void read(int me) {
        for (int s = 1; s <= RECORDS; s++) {
            if (sequence[s]($).load(mo_acquire) == s) continue;
            parked[me]($).store(1, mo_relaxed);
            fence_unless(NO_READER_FENCE, mo_seq_cst);
            if (FLAW == NO_RECHECK || sequence[s]($).load(mo_acquire) != s) return futex_wait(me);
            parked[me]($).store(0, mo_relaxed);
        }
    }
};

int main() { return search<Park>(); }
