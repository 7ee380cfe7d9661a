import io.aeron.Aeron;
import io.aeron.ExclusivePublication;
import io.aeron.Image;
import io.aeron.Publication;
import io.aeron.Subscription;
import io.aeron.driver.MediaDriver;
import io.aeron.driver.ThreadingMode;
import io.aeron.logbuffer.BufferClaim;
import io.aeron.logbuffer.FragmentHandler;
import org.agrona.CloseHelper;
import org.agrona.DirectBuffer;
import org.agrona.MutableDirectBuffer;
import org.agrona.concurrent.BackoffIdleStrategy;

/**
 * Aeron IPC: exclusive publications, claimed and committed in place, images polled.
 * MODE is "RECORDS,LIMIT": records in a message, and messages in a poll. The media driver is
 * embedded; its one thread backs off, since two cores are taken by the writer and the reader.
 */
final class AeronPeer implements Runs.Peer {
    private static final int TERM = 16 << 20;
    private static final int MTU = 8192;
    private static final String CHANNEL =
        "aeron:ipc?term-length=" + TERM + "|mtu=" + MTU + "|sparse=false";

    private MediaDriver driver;
    private Aeron writing;
    private Aeron reading;

    public static void main(String[] words) throws Exception {
        Runs.serve(new AeronPeer());
    }

    @Override
    public Lane[] open(String mode, int lanes, int readers, boolean shared) {
        String[] sizes = mode.split(",");
        String folder = System.getProperty("peers.folder");
        driver = MediaDriver.launch(
            new MediaDriver.Context()
                .aeronDirectoryName(folder)
                .threadingMode(ThreadingMode.SHARED)
                .sharedIdleStrategy(new BackoffIdleStrategy())
                .dirDeleteOnStart(true)
                .dirDeleteOnShutdown(true));
        writing = Aeron.connect(new Aeron.Context().aeronDirectoryName(folder));
        reading = Aeron.connect(new Aeron.Context().aeronDirectoryName(folder));
        Lane[] opened = new Lane[lanes];
        for (int number = 0; number < lanes; number++) {
            opened[number] = new AeronLane(
                number + 1, readers, Integer.parseInt(sizes[0]), Integer.parseInt(sizes[1]), shared);
        }
        return opened;
    }

    @Override
    public void close() {
        CloseHelper.closeAll(writing, reading, driver);
    }

    private final class AeronLane implements Lane {
        private final int packed;
        private final boolean shared;
        private final ExclusivePublication publication;
        private final ImageReader[] readers;
        private final BufferClaim claim = new BufferClaim();

        AeronLane(int stream, int count, int packed, int limit, boolean shared) {
            this.packed = packed;
            this.shared = shared;
            Subscription[] subscriptions = new Subscription[count];
            for (int number = 0; number < count; number++) {
                subscriptions[number] = reading.addSubscription(CHANNEL, stream);
            }
            publication = writing.addExclusivePublication(CHANNEL, stream);
            readers = new ImageReader[count];
            for (int number = 0; number < count; number++) {
                while (!subscriptions[number].isConnected()) {
                    Thread.yield();
                }
                readers[number] = new ImageReader(subscriptions[number].imageAtIndex(0), limit);
            }
        }

        @Override
        public void send(long first, int count) {
            for (long at = first; at < first + count; at += packed) {
                int many = (int) Math.min(packed, first + count - at);
                claim(many * SIZE);
                MutableDirectBuffer buffer = claim.buffer();
                for (int number = 0; number < many; number++) {
                    fill(buffer, claim.offset() + number * SIZE, at + number);
                }
                claim.commit();
            }
        }

        private void claim(int size) {
            for (long at = publication.tryClaim(size, claim); at < 0;
                at = publication.tryClaim(size, claim)) {
                if (at != Publication.BACK_PRESSURED && at != Publication.ADMIN_ACTION) {
                    throw new IllegalStateException(Publication.errorString(at));
                }
                Lane.rest(shared);
            }
        }

        private static void fill(MutableDirectBuffer buffer, int offset, long sequence) {
            buffer.putLong(offset, sequence);
            buffer.putLong(offset + 8, sequence + 1);
            buffer.putLong(offset + 16, sequence + 2);
            buffer.putLong(offset + 24, sequence + 3);
            buffer.putLong(offset + 32, sequence + 4);
            buffer.putLong(offset + 40, sequence + 5);
            buffer.putLong(offset + 48, sequence + 6);
            buffer.putLong(offset + 56, sequence);
        }

        @Override
        public Reader reader(int number) {
            return readers[number];
        }

        @Override
        public void close() {
            publication.close();
        }
    }

    private static final class ImageReader extends Lane.Reader {
        private final Image image;
        private final int limit;
        private final FragmentHandler handler = (buffer, offset, length, header) -> {
            for (int at = offset; at < offset + length; at += Lane.SIZE) {
                took(sum(buffer, at));
            }
        };

        ImageReader(Image image, int limit) {
            this.image = image;
            this.limit = limit;
        }

        @Override
        int poll() {
            return image.poll(handler, limit);
        }

        private static long sum(DirectBuffer buffer, int at) {
            return buffer.getLong(at) + buffer.getLong(at + 8)
                + buffer.getLong(at + 16) + buffer.getLong(at + 24)
                + buffer.getLong(at + 32) + buffer.getLong(at + 40)
                + buffer.getLong(at + 48) + buffer.getLong(at + 56);
        }
    }
}
