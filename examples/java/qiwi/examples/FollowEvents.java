package qiwi.examples;

import com.google.protobuf.ByteString;
import com.google.protobuf.Duration;
import io.grpc.Context;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import qiwi.events.v1.EventFilter;
import qiwi.events.v1.EventKind;
import qiwi.events.v1.EventServiceGrpc;
import qiwi.events.v1.EventServiceGrpc.EventServiceBlockingStub;
import qiwi.events.v1.LogAnchor;
import qiwi.events.v1.LogPosition;
import qiwi.events.v1.SubscribeRequest;
import qiwi.events.v1.SubscribeResponse;

/**
 * Follows the transactions of a wallet: each exactly once, whatever breaks in between.
 *
 * <pre>java qiwi.examples.FollowEvents FILE</pre>
 *
 * <p>FILE keeps the events together with the cursor. The program may be killed at any moment:
 * started again it goes on where it was, with what came meanwhile. An information token suffices.
 *
 * <p>Run it from the root of the repository; docs/callers.md says how it is compiled. The
 * environment says where the gateway is, see {@link Gateway#connect}.
 */
final class FollowEvents {
  private static final String CREDENTIAL = "demo-info";

  /** Seconds. A stream that is silent for three heartbeats is taken for dead. */
  private static final long HEARTBEAT = 15;

  private static final long FIRST_PAUSE = 200;
  private static final long LONGEST_PAUSE = 30_000;

  /** After these another stream may go on from the same place. */
  private static final Set<Status.Code> AGAIN =
      Set.of(
          Status.Code.UNAVAILABLE,
          Status.Code.RESOURCE_EXHAUSTED,
          Status.Code.DEADLINE_EXCEEDED,
          Status.Code.CANCELLED,
          Status.Code.UNKNOWN,
          Status.Code.INTERNAL);

  /** The log no longer holds what follows the cursor, or is another log. */
  private static final Set<String> LOST_PLACE = Set.of("CURSOR_EXPIRED", "LOG_REWOUND");

  private final EventServiceBlockingStub stub;
  private final Journal kept;
  private final ScheduledExecutorService clock =
      Executors.newSingleThreadScheduledExecutor(
          work -> {
            var thread = new Thread(work, "watch");
            thread.setDaemon(true);
            return thread;
          });
  private long pause = FIRST_PAUSE;
  private LogPosition start;

  private FollowEvents(ManagedChannel channel, Journal kept) {
    this.stub = EventServiceGrpc.newBlockingStub(channel).withInterceptors(Gateway.as(CREDENTIAL));
    this.kept = kept;
    this.start =
        kept.cursor() == null ? anchor(LogAnchor.LOG_ANCHOR_LATEST) : behind(kept.cursor());
  }

  private static LogPosition anchor(LogAnchor anchor) {
    return LogPosition.newBuilder().setAnchor(anchor).build();
  }

  private static LogPosition behind(byte[] cursor) {
    return LogPosition.newBuilder().setCursor(ByteString.copyFrom(cursor)).build();
  }

  /** Follows one stream until it ends. It has no deadline; the watch ends one that is silent. */
  private void stream(Context.CancellableContext call) throws IOException {
    var request =
        SubscribeRequest.newBuilder()
            .setFilter(EventFilter.newBuilder().addKinds(EventKind.EVENT_KIND_TRANSACTION))
            .setStart(start)
            .setHeartbeatInterval(Duration.newBuilder().setSeconds(HEARTBEAT))
            .build();
    Future<?> watch = watch(call);
    try {
      var responses = stub.subscribe(request);
      while (responses.hasNext()) {
        SubscribeResponse response = responses.next();
        watch.cancel(false);
        handle(response);
        watch = watch(call);
      }
    } finally {
      watch.cancel(false);
    }
  }

  private Future<?> watch(Context.CancellableContext call) {
    return clock.schedule(() -> call.cancel(null), 3 * HEARTBEAT, TimeUnit.SECONDS);
  }

  private void handle(SubscribeResponse response) throws IOException {
    List<Journal.Handled> events = new ArrayList<>();
    for (var event : response.getEventsList()) {
      // A log that was filled again repeats events under the ids they had.
      if (!kept.knows(event.getEventId())) {
        String transaction = event.getTransaction().getTransactionId();
        events.add(new Journal.Handled(event.getEventId(), event.getSequence(), transaction));
      }
    }
    // Heartbeats move the place as well.
    kept.keep(response.getCursor().toByteArray(), events);
    events.forEach(event -> System.out.println(event.event_id + " " + event.transaction_id));
    start = behind(kept.cursor());
    pause = FIRST_PAUSE;
  }

  /** Opens another stream when one ends, from the last place that was kept. */
  private Refusal follow() throws Exception {
    while (true) {
      long asked = 0;
      String reason = "the stream ended";
      try (var call = Context.current().withCancellation()) {
        call.call(
            () -> {
              stream(call);
              return null;
            });
      } catch (StatusRuntimeException error) {
        Refusal refusal = Refusal.of(error);
        reason = refusal.toString();
        asked = refusal.retryAfter() == null ? 0 : refusal.retryAfter().toMillis();
        if (LOST_PLACE.contains(refusal.reason())) {
          // From the oldest event that is left; those handled before are known.
          start = anchor(LogAnchor.LOG_ANCHOR_EARLIEST);
        } else if (!AGAIN.contains(refusal.code())) {
          return refusal;
        }
      }
      long wait = Math.round(pause * ThreadLocalRandom.current().nextDouble(0.5, 1));
      wait = Math.max(wait, asked);
      System.err.printf("%s: another stream in %d ms%n", reason, wait);
      Thread.sleep(wait);
      pause = Math.min(2 * pause, LONGEST_PAUSE);
    }
  }

  public static void main(String[] words) throws Exception {
    String file = new Flags(words, Map.of()).rest(1, "FollowEvents FILE").get(0);
    ManagedChannel channel = Gateway.connect();
    // Without the disk the place would be lost: an error of the journal ends the program.
    System.err.println("refused: " + new FollowEvents(channel, new Journal(Path.of(file))).follow());
    System.exit(1);
  }
}
