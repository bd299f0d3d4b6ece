package qiwi.examples;

import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import qiwi.wallet.v1.CreatePaymentRequest;
import qiwi.wallet.v1.GetPaymentRequest;
import qiwi.wallet.v1.Payment;
import qiwi.wallet.v1.PaymentServiceGrpc;
import qiwi.wallet.v1.PaymentServiceGrpc.PaymentServiceBlockingStub;
import qiwi.wallet.v1.PaymentSpec;
import qiwi.wallet.v1.PaymentState;
import qiwi.wallet.v1.WalletDestination;

/**
 * Pays for an order from a QIWI wallet to another one: once, whatever happens in between.
 *
 * <pre>java qiwi.examples.Pay ORDER WALLET AMOUNT
 * java qiwi.examples.Pay order-17 79990000002 10.50</pre>
 *
 * <p>ORDER is your own name for what is paid. Started again with the same order, after a crash or a
 * power cut as well, the program goes on with the payment it had begun.
 *
 * <p>Exit status: 0 paid, 1 not paid, 2 not known yet: start it again with the same order. What is
 * not paid for good, because QIWI refused it, is paid as another order.
 *
 * <p>Run it from the root of the repository; docs/callers.md says how it is compiled. The
 * environment says where the gateway is, see {@link Gateway#connect}.
 */
final class Pay {
  /** Which of the gateway's credentials pays; its token never leaves the gateway. */
  private static final String CREDENTIAL = "demo";

  /** The pause before a repeat: doubled each time, never shorter than the gateway asks for. */
  private static final long FIRST_PAUSE = 500;

  private static final long LONGEST_PAUSE = 30_000;

  /** Without an answer of the gateway these may mean anything: the payment may be made. */
  private static final Set<Status.Code> NO_ANSWER =
      Set.of(
          Status.Code.UNAVAILABLE,
          Status.Code.DEADLINE_EXCEEDED,
          Status.Code.CANCELLED,
          Status.Code.UNKNOWN,
          Status.Code.INTERNAL,
          Status.Code.RESOURCE_EXHAUSTED);

  /** After these answers the same request with the same id is the right thing to send. */
  private static final Set<String> REPEAT =
      Set.of("PAYMENT_OUTCOME_UNKNOWN", "PAYMENT_IN_PROGRESS");

  /** In these states, named by errors, nothing was paid and nothing will be. */
  private static final Set<String> NOT_PAID = Set.of("REJECTED", "NOT_EXECUTED");

  private static final Set<PaymentState> FINAL =
      Set.of(PaymentState.PAYMENT_STATE_SUCCEEDED, PaymentState.PAYMENT_STATE_FAILED);

  /** There was not enough time to learn how the payment ended. */
  private static final class Unsettled extends Exception {
    Unsettled(String reason) {
      super("not known yet (" + reason + "): start again with the same order");
    }
  }

  private final PaymentServiceBlockingStub stub;
  private final Flags flags;
  private final long until;

  private Pay(ManagedChannel channel, Flags flags) {
    this.stub =
        PaymentServiceGrpc.newBlockingStub(channel).withInterceptors(Gateway.as(CREDENTIAL));
    this.flags = flags;
    this.until = System.nanoTime() + 1_000_000 * flags.milliseconds("patience");
  }

  /** Calls until there is an answer to keep; every repeat sends the very same request. */
  private <T> T patiently(Supplier<T> call) throws InterruptedException, Unsettled {
    long pause = FIRST_PAUSE;
    while (true) {
      try {
        return call.get();
      } catch (StatusRuntimeException error) {
        Refusal refusal = Refusal.of(error);
        if (!worthRepeating(refusal)) {
          throw error;
        }
        // Not all at the same moment: others lost the same connection.
        long wait = Math.round(pause * ThreadLocalRandom.current().nextDouble(0.5, 1));
        if (refusal.retryAfter() != null) {
          wait = Math.max(wait, refusal.retryAfter().toMillis());
        }
        if (System.nanoTime() + 1_000_000 * wait - until > 0) {
          throw new Unsettled(refusal.name());
        }
        System.err.printf("%s: the same id again in %d ms%n", refusal.name(), wait);
        Thread.sleep(wait);
        pause = Math.min(2 * pause, LONGEST_PAUSE);
      }
    }
  }

  private static boolean worthRepeating(Refusal of) {
    if (of.reason().isEmpty()) {
      return NO_ANSWER.contains(of.code());
    }
    // RetryInfo says that the same request may succeed later.
    return !NOT_PAID.contains(of.paymentState())
        && (of.retryAfter() != null
            || of.code() == Status.Code.INTERNAL
            || REPEAT.contains(of.reason()));
  }

  /** Makes the payment, or learns what became of it if it was made before. */
  private Payment pay(Orders.Order order) throws InterruptedException, Unsettled {
    var request =
        CreatePaymentRequest.newBuilder()
            .setPaymentId(order.paymentId())
            .setPayment(
                PaymentSpec.newBuilder()
                    .setAmount(Amounts.roubles(order.amount()))
                    .setWallet(WalletDestination.newBuilder().setWallet(order.wallet()))
                    .setComment(order.name()))
            .setReattempt(Boolean.parseBoolean(flags.text("reattempt")))
            .build();
    // A deadline begins when it is made, so each call needs one of its own.
    return patiently(
            () ->
                stub.withDeadlineAfter(flags.milliseconds("deadline"), TimeUnit.MILLISECONDS)
                    .createPayment(request))
        .getPayment();
  }

  /** Waits until the payment has succeeded or failed: accepted is not executed. */
  private Payment settled(Payment payment) throws InterruptedException, Unsettled {
    var request = GetPaymentRequest.newBuilder().setPaymentId(payment.getPaymentId()).build();
    while (!FINAL.contains(payment.getState())) {
      if (System.nanoTime() - until > 0) {
        throw new Unsettled(payment.getState().name());
      }
      Thread.sleep(Duration.ofSeconds(1).toMillis());
      payment =
          patiently(() -> stub.withDeadlineAfter(10, TimeUnit.SECONDS).getPayment(request))
              .getPayment();
    }
    return payment;
  }

  private int run(List<String> words) throws Exception {
    // What is no amount is refused before it is kept.
    Amounts.roubles(words.get(2));
    // First the id goes to the disk, then the call is made.
    var order =
        new Orders(flags.text("orders")).take(words.get(0), words.get(1), words.get(2));
    System.err.println(order.name() + " is payment " + order.paymentId());
    Payment payment;
    try {
      payment = settled(pay(order));
    } catch (Unsettled unsettled) {
      System.err.println(unsettled.getMessage());
      return 2;
    } catch (StatusRuntimeException error) {
      Refusal refusal = Refusal.of(error);
      System.err.println("refused: " + refusal + ": " + refusal.text());
      boolean notPaid =
          NOT_PAID.contains(refusal.paymentState())
              || refusal.code() == Status.Code.INVALID_ARGUMENT;
      return notPaid ? 1 : 2;
    }
    String state = payment.getState().name().replaceFirst("^PAYMENT_STATE_", "");
    System.out.printf(
        "%s %s %s %s%n",
        payment.getPaymentId(),
        state,
        Amounts.text(payment.getAmount()),
        payment.getTransactionId());
    if (payment.getState() == PaymentState.PAYMENT_STATE_SUCCEEDED) {
      return 0;
    }
    System.err.println("failed: " + payment.getError().getMessageRu());
    return 1;
  }

  public static void main(String[] words) throws Exception {
    var defaults =
        Map.of("orders", "orders", "deadline", "30", "patience", "300", "reattempt", "false");
    int status = 1;
    ManagedChannel channel = Gateway.connect();
    try {
      var flags = new Flags(words, defaults);
      status = new Pay(channel, flags).run(flags.rest(3, "Pay [flags] ORDER WALLET AMOUNT"));
    } catch (IllegalArgumentException mistake) {
      System.err.println("not paid: " + mistake.getMessage());
    } finally {
      channel.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
    }
    System.exit(status);
  }
}
