/* A reader that nobody waits for: one writer, and a reader that drops what it is too slow for; either
 * killed at any step and started again. An observer is such a reader without a line. Such readers
 * write nothing that anybody else reads, so one of them stands for many.
 *
 * A reader copies a record word by word into memory of its own and looks at its sequence again. No copy it
 * takes for whole may be torn, and what it did not get it must have counted.
 */
#ifndef CAPACITY
#define CAPACITY 2
#endif
#ifndef RECORDS
#define RECORDS 5
#endif
#ifndef KILLS
#define KILLS 1
#endif
#define RISES 0
#define DEPTH 4
#define ACTORS 2
#define BATCH 2

#define SEQUENCE(s) ((s) % CAPACITY)
#define WORD(s, w)  (CAPACITY + 2 * ((s) % CAPACITY) + (w))
#define POSITION    (3 * CAPACITY)
#define MISSED      (3 * CAPACITY + 1)
#define SKIP_TO     (3 * CAPACITY + 2)  /* where it is about to go on, or 0 */
#define SKIP_MISSED (3 * CAPACITY + 3)  /* what it will have missed then */
#define WRITTEN     (3 * CAPACITY + 4)
#define CLOSED      (3 * CAPACITY + 5)
#define WORDS       (3 * CAPACITY + 6)
#define MARK        100
#define VALUE(s, w) (2 * (s) + (w))

#include "memory.pml"

byte published;
byte done;  /* records that the reader has read and let go of */

inline write(s) {
#ifndef NO_MARK
    store(SEQUENCE(s), MARK + s);
#ifndef MARK_WITHOUT_FENCE
    fence_release();
#endif
#endif
    store(WORD(s, 0), VALUE(s, 0));
    store(WORD(s, 1), VALUE(s, 1));
    put(SEQUENCE(s), s, RELEASE, published = s)
}

proctype Writer(byte me) {
    byte sent, last;
life: skip;
    {
        atomic {
            sent = mem[WRITTEN];
            do
            :: mem[SEQUENCE(sent + 1)] == sent + 1 -> sent++
            :: else -> break
            od;
            assert(sent == published)
        }
        store_release(WRITTEN, sent);
        do
        :: sent < RECORDS ->
            if
            :: last = sent + 1
            :: RECORDS >= sent + BATCH -> last = sent + BATCH
            fi;
            do
            :: sent < last -> write(sent + 1); sent++
            :: else -> break
            od;
            last = 0;
            store_release(WRITTEN, sent)
        :: else -> break
        od;
        store_release(CLOSED, sent + 1);
        alive[me] = 0
    } unless {
        killed[me];
        bury();
        atomic { sent = 0; last = 0 }
        goto life
    }
}

#define number(seen) ((seen) >= MARK -> (seen) - MARK : (seen))
#ifdef NO_SECOND_LOOK
#define LOOKS_AGAIN seen = next
#else
#define LOOKS_AGAIN seen = mem[SEQUENCE(next)]
#endif

/* One record into the mirror: looked at, copied, looked at again. */
inline take_over() {
    seen = mem[SEQUENCE(next)];
    if
    :: seen == next ->
        word = mem[WORD(next, 0)];
#ifdef SECOND_LOOK_TOO_EARLY
        LOOKS_AGAIN;
        other = mem[WORD(next, 1)]
#else
        other = mem[WORD(next, 1)];
        LOOKS_AGAIN
#endif
    :: else
    fi;
    atomic {
        if
        :: seen == next ->
            assert(word == VALUE(next, 0) && other == VALUE(next, 1));
            next++;
            lapped = 0
        :: seen != next -> lapped = (number(seen) > next); stop = 1
        fi;
        seen = 0; word = 0; other = 0
    }
}

/* The stage reads its mirror, then lets go of what it has read. */
inline hand_over() {
    put(POSITION, next - 1, RELEASE, done = done + next - first)
}

#define rejoin_at (mem[WRITTEN] > first + CAPACITY / 2 -> mem[WRITTEN] - CAPACITY / 2 : first + 1)
#ifdef GAP_NOT_COUNTED
#define GAP 1
#else
#define GAP (next - first)
#endif

/* What is missed counts once, whenever the reader dies: a successor finishes the skip. */
inline rejoin() {
    next = rejoin_at;
#ifdef SKIP_WITHOUT_NOTE
    store(MISSED, mem[MISSED] + GAP);
    store_release(POSITION, next - 1)
#else
    store(SKIP_MISSED, mem[MISSED] + GAP);
    store_release(SKIP_TO, next);
    fence_full();
    settle()
#endif
}

inline settle() {
    if
    :: mem[SKIP_TO] ->
        store(MISSED, mem[SKIP_MISSED]);
        store_release(POSITION, mem[SKIP_TO] - 1);
        store_release(SKIP_TO, 0);
        fence_full()
    :: else
    fi
}

proctype Reader(byte me) {
    byte first, next, seen, word, other;
    bit lapped, stop;
life: skip;
    {
#ifndef SKIP_LEFT_HALF_DONE
        settle();
#endif
        first = mem[POSITION] + 1;
        do
        :: mem[CLOSED] && mem[CLOSED] <= first -> break
        :: mem[SEQUENCE(first)] == first || number(mem[SEQUENCE(first)]) > first ->
            next = first;
            stop = 0;
            do
            :: !stop && next < first + BATCH -> take_over()
            :: else -> break
            od;
            if
            :: next > first -> hand_over()
            :: next == first && lapped -> rejoin()
            :: else
            fi;
            fence_full();
            atomic { first = mem[POSITION] + 1; next = 0; lapped = 0; stop = 0 }
        od;
        atomic {
            alive[me] = 0;
            assert(done + mem[MISSED] == RECORDS);
            first = 0
        }
    } unless {
        killed[me];
        bury();
        atomic {
            first = 0; next = 0; seen = 0; word = 0; other = 0;
            lapped = 0; stop = 0
        }
        goto life
    }
}

active proctype Rest() {
end: timeout -> assert(published == RECORDS && !alive[0] && !alive[1])
}

init {
    atomic {
        alive[0] = 1; alive[1] = 1;
        run Core(0); run Core(1);
        run Reader(0); run Writer(1)
    }
}
