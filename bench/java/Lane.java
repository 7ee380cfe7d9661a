/** One direction of a transport: a writer, and readers that each see every record. */
interface Lane extends AutoCloseable {
    /** The eight words of record s are s + 0 … 6 and s itself, as in bench/traffic.py. */
    int WORDS = 8;
    int SIZE = WORDS * Long.BYTES;

    /** Send records first … first + count - 1, in the largest batches that the lane knows. */
    void send(long first, int count);

    Reader reader(int number);

    @Override
    void close();

    /** Reads and adds up all words of every record; notes how late each was where asked to. */
    abstract class Reader {
        long next = 1;
        long total;
        private long[] late;
        private long start;
        private double period;

        /** Take what is there, at most a batch; how many records that were. */
        abstract int poll();

        /** Note, of each record from now on, the nanoseconds since it was due. */
        final void pace(long[] late, long start, double period) {
            this.late = late;
            this.start = start;
            this.period = period;
        }

        final void took(long sum) {
            total += sum;
            if (late != null) {
                late[(int) next - 1] = System.nanoTime() - due(start, period, next);
            }
            next++;
        }
    }

    /** When a record is due: the schedule does not wait for anybody. */
    static long due(long start, double period, long sequence) {
        return start + (long) ((sequence - 1) * period);
    }

    /** Wait a moment: on a core that others need, let them run. */
    static void rest(boolean shared) {
        if (shared) {
            Thread.yield();
        } else {
            Thread.onSpinWait();
        }
    }
}
