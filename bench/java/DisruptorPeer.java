import com.lmax.disruptor.BusySpinWaitStrategy;
import com.lmax.disruptor.RingBuffer;
import com.lmax.disruptor.Sequence;
import com.lmax.disruptor.SequenceBarrier;
import com.lmax.disruptor.YieldingWaitStrategy;

/**
 * LMAX Disruptor between threads: events of eight longs, one producer.
 * MODE is "RECORDS,CAPACITY": how many are published at once, and events in the ring.
 */
final class DisruptorPeer implements Runs.Peer {
    static final class Event {
        long w0, w1, w2, w3, w4, w5, w6, w7;
    }

    public static void main(String[] words) throws Exception {
        Runs.serve(new DisruptorPeer());
    }

    @Override
    public Lane[] open(String mode, int lanes, int readers, boolean shared) {
        String[] sizes = mode.split(",");
        Lane[] opened = new Lane[lanes];
        for (int number = 0; number < lanes; number++) {
            opened[number] = new DisruptorLane(
                Integer.parseInt(sizes[0]), Integer.parseInt(sizes[1]), readers, shared);
        }
        return opened;
    }

    @Override
    public void close() {}

    private static final class DisruptorLane implements Lane {
        private final RingBuffer<Event> ring;
        private final int batch;
        private final EventReader[] readers;

        DisruptorLane(int batch, int capacity, int count, boolean shared) {
            this.batch = batch;
            ring = RingBuffer.createSingleProducer(
                Event::new, capacity,
                shared ? new YieldingWaitStrategy() : new BusySpinWaitStrategy());
            readers = new EventReader[count];
            for (int number = 0; number < count; number++) {
                readers[number] = new EventReader(ring);
                ring.addGatingSequences(readers[number].done);
            }
        }

        @Override
        public void send(long first, int count) {
            for (long at = first; at < first + count; at += batch) {
                int many = (int) Math.min(batch, first + count - at);
                long high = ring.next(many);
                long low = high - many + 1;
                for (long slot = low; slot <= high; slot++) {
                    fill(ring.get(slot), at + slot - low);
                }
                ring.publish(low, high);
            }
        }

        private static void fill(Event event, long sequence) {
            event.w0 = sequence;
            event.w1 = sequence + 1;
            event.w2 = sequence + 2;
            event.w3 = sequence + 3;
            event.w4 = sequence + 4;
            event.w5 = sequence + 5;
            event.w6 = sequence + 6;
            event.w7 = sequence;
        }

        @Override
        public Reader reader(int number) {
            return readers[number];
        }

        @Override
        public void close() {}
    }

    /** What BatchEventProcessor does, its batch limited as it may be there. */
    private static final class EventReader extends Lane.Reader {
        private static final int BATCH = 256;
        final Sequence done = new Sequence();
        private final RingBuffer<Event> ring;
        private final SequenceBarrier barrier;

        EventReader(RingBuffer<Event> ring) {
            this.ring = ring;
            this.barrier = ring.newBarrier();
        }

        @Override
        int poll() {
            long from = done.get() + 1;
            long until = available(from);
            if (until < from) {
                return 0;
            }
            until = Math.min(until, from + BATCH - 1);
            for (long slot = from; slot <= until; slot++) {
                Event event = ring.get(slot);
                took(event.w0 + event.w1 + event.w2 + event.w3
                    + event.w4 + event.w5 + event.w6 + event.w7);
            }
            done.set(until);
            return (int) (until + 1 - from);
        }

        private long available(long from) {
            try {
                return barrier.waitFor(from);
            } catch (Exception interrupted) {
                throw new IllegalStateException(interrupted);
            }
        }
    }
}
