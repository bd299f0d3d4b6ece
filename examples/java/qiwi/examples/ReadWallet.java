package qiwi.examples;

import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import qiwi.wallet.v1.BalanceServiceGrpc;
import qiwi.wallet.v1.HistoryServiceGrpc;
import qiwi.wallet.v1.ListBalancesRequest;
import qiwi.wallet.v1.ListTransactionsRequest;

/**
 * Reads a wallet: its balances and its last transactions, with a deadline for each call.
 *
 * <pre>java qiwi.examples.ReadWallet [--deadline 5] [--page-size 3] [--wait 10]</pre>
 *
 * <p>Run it from the root of the repository, against {@code qiwi-gateway serve --sandbox};
 * docs/callers.md says how it is compiled. The environment says where the gateway is, see {@link
 * Gateway#connect}.
 */
final class ReadWallet {
  /** Which of the gateway's credentials to use; its token never leaves the gateway. */
  private static final String CREDENTIAL = "demo";

  /** How often a call is made that the gateway asks to make later. */
  private static final int ATTEMPTS = 5;

  private final ManagedChannel channel;
  private final Flags flags;

  private ReadWallet(ManagedChannel channel, Flags flags) {
    this.channel = channel;
    this.flags = flags;
  }

  /**
   * Calls, and calls again after the delay that the gateway's refusal names. QIWI blocks a wallet
   * that is asked too often, so the gateway paces the calls of all programs together.
   */
  private <T> T patiently(Supplier<T> call) throws InterruptedException {
    for (int attempt = 1; ; attempt++) {
      try {
        return call.get();
      } catch (StatusRuntimeException error) {
        var after = Refusal.of(error).retryAfter();
        long longest = flags.milliseconds("wait");
        if (after == null || after.toMillis() > longest || attempt == ATTEMPTS) {
          throw error;
        }
        Thread.sleep(after.toMillis());
      }
    }
  }

  private void balances() throws InterruptedException {
    var stub = BalanceServiceGrpc.newBlockingStub(channel).withInterceptors(Gateway.as(CREDENTIAL));
    // A deadline begins when it is made, so each call needs one of its own. The gateway gives up
    // shortly before it, so that an answer with details arrives and not a bare timeout.
    var reply =
        patiently(
            () ->
                stub.withDeadlineAfter(flags.milliseconds("deadline"), TimeUnit.MILLISECONDS)
                    .listBalances(ListBalancesRequest.getDefaultInstance()));
    for (var balance : reply.getBalancesList()) {
      // An absent amount is one QIWI did not tell, as for linked phones; it is not zero.
      String amount = balance.hasAmount() ? Amounts.text(balance.getAmount()) : "(not told)";
      System.out.println(balance.getAlias() + " " + amount);
    }
  }

  private void transactions() throws InterruptedException {
    var stub = HistoryServiceGrpc.newBlockingStub(channel).withInterceptors(Gateway.as(CREDENTIAL));
    var request =
        ListTransactionsRequest.newBuilder().setPageSize(flags.number("page-size")).build();
    var page =
        patiently(
            () ->
                stub.withDeadlineAfter(flags.milliseconds("deadline"), TimeUnit.MILLISECONDS)
                    .listTransactions(request));
    for (var of : page.getTransactionsList()) {
      System.out.printf(
          "%s %s %s %s%n",
          of.getTransactionTime().getRaw(),
          of.getTypeRaw(),
          of.getStatusRaw(),
          Amounts.text(of.getAmount()));
    }
    System.out.println(page.getTransactionsCount() + " transactions");
  }

  public static void main(String[] words) throws Exception {
    var flags = new Flags(words, Map.of("deadline", "5", "page-size", "3", "wait", "10"));
    ManagedChannel channel = Gateway.connect();
    int status = 0;
    try {
      var wallet = new ReadWallet(channel, flags);
      wallet.balances();
      wallet.transactions();
    } catch (StatusRuntimeException error) {
      System.err.println("failed: " + Refusal.of(error));
      status = 1;
    } finally {
      channel.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
    }
    System.exit(status);
  }
}
