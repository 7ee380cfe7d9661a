/* Sleeping: one writer, two gating readers that sleep whenever nothing waits for them; any of them
 * killed at any step and started again. With -DBARRIER the second reader comes after the first: it
 * reads only what that one has released, which wakes it; and the first may stay dead and be retired.
 *
 * A record is its sequence only (ring.pml has the payloads). The writer may stop after any batch and say
 * nothing, or close: at rest nobody may be asleep while a record waits for it or the end is there.
 */
#ifndef CAPACITY
#define CAPACITY 2
#endif
#ifndef RECORDS
#define RECORDS 4
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef RISES
#define RISES 0
#endif
#ifndef BATCH
#define BATCH 2
#endif
#ifndef DEPTH
#define DEPTH 2
#endif
#define ACTORS 3

#define SEQUENCE(s) ((s) % CAPACITY)
#define POSITION(r) (CAPACITY + (r))
#define POLICY(r)   (CAPACITY + 2 + (r))
#define PARKED(r)   (CAPACITY + 4 + (r))
#define WRITTEN     (CAPACITY + 6)
#define CLOSED      (CAPACITY + 7)
#define WORDS       (CAPACITY + 8)

#include "memory.pml"

byte published, got[2];
bit done[2];

#define held(r, s) (mem[POLICY(r)] && mem[POSITION(r)] + CAPACITY < (s))
#define free(s)    (!held(0, s) && !held(1, s))
#ifdef BARRIER
#define COMES_AFTER (me == 1)
#else
#define COMES_AFTER false
#endif

inline wake_one(r) {
    if
#ifdef WAKE_BEFORE_CLEAR
    :: mem[PARKED(r)] -> futex_wake(r); store(PARKED(r), 0)
#elif defined(NO_CLEAR)
    :: mem[PARKED(r)] -> futex_wake(r)
#else
    :: mem[PARKED(r)] -> store(PARKED(r), 0); futex_wake(r)
#endif
    :: else
    fi
}

inline wake() {
#ifndef NO_WAKER_FENCE
    fence_full();
#endif
    wake_one(0);
#ifdef ONE_IS_WOKEN
    skip
#else
    wake_one(1)
#endif
}

/* Whoever died may have marked a sleeper awake and not woken it: its successor wakes everybody. */
inline rouse() {
#ifdef NO_ROUSE
    wake()
#else
    store(PARKED(0), 0);
    futex_wake(0);
    store(PARKED(1), 0);
    futex_wake(1)
#endif
}

inline write_batch() {
    free(sent + 1);
    if
    :: last = sent + 1
    :: sent + BATCH <= RECORDS && free(sent + BATCH) -> last = sent + BATCH
    fi;
#ifdef WAKE_BEFORE_STORE
    wake();
#endif
    do
    :: sent < last -> sent++; put(SEQUENCE(sent), sent, RELEASE, published = sent)
    :: else -> break
    od;
    last = 0;
    store_release(WRITTEN, sent);
#ifndef WAKE_BEFORE_STORE
    wake()
#endif
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
        rouse();
        do
        :: sent < RECORDS && mem[CLOSED] == 0 -> write_batch()
        :: true -> break
        od;
        if
        :: mem[CLOSED] == 0
        :: true ->
            store_release(CLOSED, sent + 1);
#ifndef CLOSE_WAKES_NOBODY
            wake()
#endif
        fi;
        alive[me] = 0
    } unless {
        killed[me];
        bury();
        atomic { sent = 0; last = 0 }
        goto life
    }
}

#if defined(BARRIER) && !defined(NO_BARRIER)
#define arrived (mem[SEQUENCE(next)] == next && (me == 0 || mem[POSITION(0)] >= next))
#else
#define arrived (mem[SEQUENCE(next)] == next)
#endif
#define closed  (mem[CLOSED] && mem[CLOSED] <= next)

/* Is the end there? The reader before us is gone only if it was gone before we looked at its position. */
inline look_for_end() {
    over = closed;
#ifdef BARRIER
    if
#ifdef POSITION_BEFORE_POLICY
    :: !over && me == 1 && mem[POSITION(0)] < next -> over = !mem[POLICY(0)]
#else
    :: !over && me == 1 && !mem[POLICY(0)] -> over = (mem[POSITION(0)] < next)
#endif
    :: else
    fi
#endif
}

inline sleep() {
    store(PARKED(me), 1);
#ifndef NO_READER_FENCE
    fence_full();
#endif
#ifdef NO_RECHECK
    futex_wait(PARKED(me), 1);
#else
    if
    :: arrived
    :: else ->
        look_for_end();
        if
        :: over
        :: else -> futex_wait(PARKED(me), 1)
        fi
    fi;
#endif
    store(PARKED(me), 0)
}

inline retire(r) {
    mem[POLICY(r)] = 0;
#ifndef RETIRE_WAKES_NOBODY
    rouse()
#endif
}

proctype Reader(byte me) {
    byte next;
    bit over;
life: skip;
    {
        next = mem[POSITION(me)] + 1;
        assert(next <= got[me] + 1 && got[me] <= next);
#ifdef BARRIER
        if :: me == 0 -> rouse() :: else fi;
#endif
        do
        :: arrived ->
            atomic {
                assert(!COMES_AFTER || mem[POSITION(0)] >= next);
                got[me] = next
            }
            store_release(POSITION(me), next);
#if defined(BARRIER) && !defined(RELEASE_WAKES_NOBODY)
            if :: me == 0 -> wake() :: else fi;
#endif
            next++
        :: over -> break
        :: !arrived && !over ->
            look_for_end();
            if :: over :: else -> sleep() fi
        od;
        atomic {
            assert(got[me] + 1 == next);
            assert(got[me] + 1 == mem[CLOSED] || (COMES_AFTER && mem[POSITION(0)] == got[me]));
            alive[me] = 0; done[me] = 1; next = 0; over = 0
        }
#ifdef BARRIER
        retire(me)
#endif
    } unless {
        killed[me];
        bury();
        atomic { next = 0; over = 0 }
        if
        :: goto life
#ifdef BARRIER
        :: me == 0 -> atomic { alive[me] = 0; done[me] = 1 } retire(me)
#endif
        fi
    }
}

#ifdef BARRIER
#define all_read(r) (got[r] == published && ((r) == 0 || got[1] == mem[POSITION(0)] && mem[POLICY(0)]))
#else
#define all_read(r) (got[r] == published)
#endif

active proctype Rest() {
end: timeout ->
    assert(!alive[2] && mem[WRITTEN] == published);
    assert(done[0] || (all_read(0) && !mem[CLOSED]));
    assert(done[1] || (all_read(1) && !mem[CLOSED]))
}

init {
    atomic {
        mem[POLICY(0)] = 1; mem[POLICY(1)] = 1;
        alive[0] = 1; alive[1] = 1; alive[2] = 1;
        run Core(0); run Core(1); run Core(2);
        run Reader(0); run Reader(1); run Writer(2)
    }
}
